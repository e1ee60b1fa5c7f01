# SPDX-License-Identifier: Apache-2.0
"""Updates on their way up, at the site: packed behind its filters, fed back over rounds, repeated to the last bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.errors import DataError, PayloadError
from dsfedmed.exchange.compression import add
from dsfedmed.federated.server.uplink import unpack_update
from dsfedmed.federated.site.uplink import announce, pack_update
from dsfedmed.federated.wire.message import (
    CACHED_ROUNDS,
    Envelope,
    Message,
    ReplyHeader,
    UpdateHeader,
    error_message,
    open_header,
    open_reply,
    reply_message,
)
from dsfedmed.federated.wire.requests.training import TrainReply
from dsfedmed.federated.wire.tasks import TRAIN
from tests.federated.tiny import tiny_plan, tiny_settings

WEIGHTS = {"w": torch.zeros(40, 50), "b": torch.zeros(7)}


def reply(number: int, precision: Any = "int8", training: str = "dsfedmed", seed: int | None = None) -> Message:
    draws = torch.Generator().manual_seed(number if seed is None else seed)
    update = {name: torch.randn(tensor.shape, generator=draws) * 1e-3 for name, tensor in WEIGHTS.items()}
    header = ReplyHeader(update=UpdateHeader(training, number, precision))
    return reply_message(Envelope(TrainReply(number, 0.5, 1.0, 2), update, True, header))


def unpacked(message: Message) -> dict[str, torch.Tensor]:
    return unpack_update(open_reply(TRAIN, message, "site_a"), WEIGHTS, "site_a")


def same(one: Message, other: Message) -> bool:
    return one.info == other.info and all(torch.equal(t, other.tensors[n]) for n, t in one.tensors.items())


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_over_rounds_the_server_gets_all_that_the_site_trained(tmp_path: Path, precision: str) -> None:
    got, there_was = dict(WEIGHTS), dict(WEIGHTS)
    for number in range(1, 7):
        message = reply(number, precision)
        got = add(got, unpacked(pack_update(message, "site_a", tmp_path)))
        there_was = add(there_was, message.tensors)
    limit = {"fp32": 1e-8, "fp16": 4e-6, "int8": 4e-5}[precision]
    assert all((got[name] - tensor).abs().max() < limit for name, tensor in there_was.items())


def test_a_round_asked_again_gives_the_same_bytes_also_after_the_next_one(tmp_path: Path) -> None:
    first = [pack_update(reply(number), "site_a", tmp_path) for number in (1, 2, 3)]
    assert same(pack_update(reply(3), "site_a", tmp_path), first[2])
    assert same(pack_update(reply(2), "site_a", tmp_path), first[1])
    assert same(pack_update(reply(3), "site_a", tmp_path), first[2])
    fresh = pack_update(reply(3), "site_a", tmp_path / "elsewhere")
    assert not same(fresh, first[2]), "without the residual of round 2 the bytes are others"


def test_after_a_missed_round_the_residual_starts_from_nothing(tmp_path: Path) -> None:
    pack_update(reply(1), "site_a", tmp_path)
    late = pack_update(reply(3), "site_a", tmp_path)
    assert same(late, pack_update(reply(3), "site_a", tmp_path / "elsewhere"))


def test_training_runs_and_networks_do_not_share_a_residual_and_old_ones_go(tmp_path: Path) -> None:
    pack_update(reply(1, training="fedavg"), "site_a", tmp_path)
    alone = pack_update(reply(2), "site_a", tmp_path)
    assert same(alone, pack_update(reply(2), "site_a", tmp_path / "elsewhere"))
    other = replace(reply(2, training="fedavg"), tensors={"v": torch.ones(3)})
    assert pack_update(other, "site_a", tmp_path).tensors["plain"].tolist() == [1.0, 1.0, 1.0]
    for number in range(3, 3 + CACHED_ROUNDS):
        pack_update(reply(number), "site_a", tmp_path)
    kept = {path.stem for path in (tmp_path / "residuals").glob("dsfedmed-*")}
    assert kept == {f"dsfedmed-{number:04d}" for number in range(3, 3 + CACHED_ROUNDS)}


def test_what_is_no_update_passes_untouched(tmp_path: Path) -> None:
    plain = reply_message(Envelope(TrainReply(1), {"w": torch.ones(2)}, True))
    packed = pack_update(reply(1), "site_a", tmp_path / "packed")
    failed = error_message(DataError("x", "y", "z"), "site_a")
    for message in (plain, packed, failed):
        assert pack_update(message, "site_a", tmp_path) is message
    assert not (tmp_path / "residuals").exists()


def test_the_header_says_how_it_is_packed(tmp_path: Path) -> None:
    message = pack_update(reply(1), "site_a", tmp_path)
    update = open_header(message, "site_a").update
    assert update is not None
    assert (update.training, update.round, update.precision) == ("dsfedmed", 1, "int8")
    assert len(update.layout) == 64
    assert message.info["body"] == reply(1).info["body"]
    assert set(message.tensors) == {"codes", "scales", "plain"}


def test_an_update_that_is_not_finite_is_refused_and_leaves_no_residual(tmp_path: Path) -> None:
    message = reply(1)
    message.tensors["w"][0, 0] = float("nan")
    with pytest.raises(PayloadError, match="site_a: w holds values that are not finite"):
        pack_update(message, "site_a", tmp_path)
    assert not (tmp_path / "residuals").exists()


@pytest.mark.parametrize("precision", ["int4", "", "fp64"])
def test_an_unknown_number_format_is_refused(tmp_path: Path, precision: str) -> None:
    with pytest.raises(PayloadError, match=r"site_a: sent ReplyHeader\.update\.precision"):
        pack_update(reply(1, precision), "site_a", tmp_path)


@pytest.mark.parametrize("training", ["../evil", "a/b", "", "a.b"])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, training: str) -> None:
    with pytest.raises(PayloadError, match=r"site_a: sent ReplyHeader\.update\.training"):
        pack_update(reply(1, training=training), "site_a", tmp_path / "own")
    assert list(tmp_path.iterdir()) == []


def test_a_round_announces_its_own_name_and_number() -> None:
    facts = tiny_plan(tiny_settings()).round_facts("fedavg", 4)
    assert announce(facts, "int8") == UpdateHeader("fedavg", 4, "int8", "")
