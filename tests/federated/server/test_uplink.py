# SPDX-License-Identifier: Apache-2.0
"""A site's update at the server: unpacked against the weights it belongs to, or refused whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dsfedmed.errors import PayloadError
from dsfedmed.exchange.updates import encode, layout_of, shapes_of
from dsfedmed.federated.server.uplink import unpack_update
from dsfedmed.federated.wire.message import Envelope, ReplyHeader, UpdateHeader
from dsfedmed.federated.wire.requests.training import TrainReply

WEIGHTS = {"w": torch.zeros(40, 50), "b": torch.zeros(7)}
UPDATE = {name: 0.01 * torch.randn(t.shape, generator=torch.Generator().manual_seed(1)) for name, t in WEIGHTS.items()}


def packed(precision: str, layout: str | None = None) -> Envelope[TrainReply]:
    encoded = encode(UPDATE, precision, "site_a")
    header = UpdateHeader("fedavg", 1, precision, encoded.layout if layout is None else layout)  # type: ignore[arg-type]
    return Envelope(TrainReply(1), encoded.tensors, True, ReplyHeader(update=header))


@pytest.mark.parametrize(("precision", "error"), [("fp32", 0.0), ("fp16", 2e-5), ("int8", 4e-4)])
def test_every_number_format_is_read_back_as_float32(precision: str, error: float) -> None:
    found = unpack_update(packed(precision), WEIGHTS, "site_a")
    assert found.keys() == WEIGHTS.keys()
    assert all(tensor.dtype == torch.float32 for tensor in found.values())
    assert all(float((found[name] - tensor).abs().max()) <= error for name, tensor in UPDATE.items())


def test_an_update_as_it_is_is_checked_against_the_weights() -> None:
    """A hospital's own filter may have left it without our packing."""
    plain = Envelope(TrainReply(1), dict(UPDATE), True)
    announced = replace(plain, header=ReplyHeader(update=UpdateHeader("fedavg", 1, "int8")))
    for reply in (plain, announced):
        assert unpack_update(reply, WEIGHTS, "site_a") == UPDATE
    with pytest.raises(PayloadError, match="site_a: tensors missing"):
        unpack_update(replace(plain, tensors={"w": UPDATE["w"]}), WEIGHTS, "site_a")
    with pytest.raises(PayloadError, match="site_a: w holds NaN"):
        unpack_update(replace(plain, tensors={**UPDATE, "w": UPDATE["w"] * float("nan")}), WEIGHTS, "site_a")


def test_whole_weights_are_no_difference() -> None:
    with pytest.raises(PayloadError, match="site_a: sent whole weights instead of a difference"):
        unpack_update(replace(packed("fp16"), is_difference=False), WEIGHTS, "site_a")


def test_the_update_of_another_network_is_refused() -> None:
    other = {"w": torch.zeros(40, 50), "c": torch.zeros(7)}
    with pytest.raises(PayloadError, match="site_a: sent an update with other names or another shape"):
        unpack_update(packed("int8"), other, "site_a")
    with pytest.raises(PayloadError, match="other names or another shape"):
        unpack_update(packed("int8", "0" * 64), WEIGHTS, "site_a")


def test_a_damaged_update_is_refused(tmp_path: Path) -> None:
    reply = packed("int8")
    assert layout_of(shapes_of(WEIGHTS)) == reply.header.update.layout  # type: ignore[union-attr]
    for name in ("codes", "scales", "plain"):
        damaged = replace(reply, tensors={**reply.tensors, name: reply.tensors[name][:-1]})
        with pytest.raises(PayloadError, match="site_a"):
            unpack_update(damaged, WEIGHTS, "site_a")
        with pytest.raises(PayloadError, match="site_a"):
            unpack_update(
                replace(reply, tensors={k: v for k, v in reply.tensors.items() if k != name}), WEIGHTS, "site_a"
            )
