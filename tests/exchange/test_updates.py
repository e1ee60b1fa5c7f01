# SPDX-License-Identifier: Apache-2.0
"""Differences on the wire: the same bits at both ends, nothing lost over rounds, nothing taken unchecked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dsfedmed.errors import ConfigError, PayloadError
from dsfedmed.exchange.tensors import Weights, byte_count
from dsfedmed.exchange.updates import decode, encode, feed_back, layout_of, shapes_of, uncoded_size

FORMATS = ["fp32", "fp16", "int8"]


def _update(seed: int = 0, size: float = 1e-3) -> Weights:
    """Two large tensors and two small ones, given out of order."""
    draws = torch.Generator().manual_seed(seed)
    return {
        "b.weight": torch.randn(16, 8, 3, 3, generator=draws) * size,
        "a.bias": torch.randn(16, generator=draws) * size,
        "c.weight": torch.randn(40, 30, generator=draws) * size,
        "scale": torch.randn((), generator=draws) * size,
    }


def _decode(update: Weights, precision: str) -> Weights:
    sent = encode(update, precision, "site_a")
    return decode(sent.tensors, shapes_of(update), precision, sent.layout, "site_a")


@pytest.mark.parametrize("precision", FORMATS)
def test_the_sender_knows_to_the_last_bit_what_the_receiver_reads(precision: str) -> None:
    update = _update()
    sent = encode(update, precision, "site_a")
    got = _decode(update, precision)
    assert list(got) == list(update)
    assert all(torch.equal(got[name], sent.received[name]) for name in update)
    assert all(got[name].dtype == torch.float32 for name in update)
    bound = {"fp32": 0.0, "fp16": 2**-11 * 4e-3, "int8": 4e-3 / 254}[precision]
    assert torch.equal(got["a.bias"], update["a.bias"]), "vectors are never rounded"
    assert all((got[name] - update[name]).abs().max() <= bound for name in update)


def test_what_travels_in_eight_bits_by_hand() -> None:
    """1,152 + 1,200 numbers coded, 16 + 40 scales and 16 + 1 single numbers in float32."""
    sent = encode(_update(), "int8", "site_a").tensors
    assert {name: (tensor.dtype, tensor.ndim) for name, tensor in sent.items()} == {
        "codes": (torch.uint8, 1),
        "scales": (torch.float32, 1),
        "plain": (torch.float32, 1),
    }
    assert (sent["scales"].numel(), sent["plain"].numel()) == (56, 17)
    assert uncoded_size(shapes_of(_update())) == 1152 + 1200 + 4 * 56 + 4 * 17
    assert 1800 < sent["codes"].numel() < 2352 + 100
    assert byte_count(sent) < byte_count(encode(_update(), "fp16", "site_a").tensors)


@given(st.integers(0, 2**31 - 1), st.sampled_from(FORMATS), st.integers(1, 8))
@settings(deadline=None, max_examples=25)
def test_all_that_was_sent_is_all_there_was_up_to_the_last_residual(seed: int, precision: str, rounds: int) -> None:
    residual: Weights = {}
    sent, there_was = {n: torch.zeros_like(t) for n, t in _update().items()}, _update(seed)
    there_was = {name: torch.zeros_like(tensor) for name, tensor in there_was.items()}
    for number in range(rounds):
        update = _update(seed + number)
        encoded, residual = feed_back(update, residual, precision, "site_a")
        sent = {name: sent[name] + encoded.received[name] for name in sent}
        there_was = {name: there_was[name] + update[name] for name in there_was}
    for name, tensor in there_was.items():
        assert torch.allclose(sent[name] + residual[name], tensor, atol=1e-7), name
        assert residual[name].abs().max() < 5e-5, "the residual does not grow"


def test_without_feedback_small_steps_are_lost_for_ever_and_with_it_they_arrive() -> None:
    """Beside a weight that moves by 127 a round, one that moves by 0.3 never reaches half a step; fed back, it does."""
    update = {"w": torch.full((1, 2048), 0.3)}
    update["w"][0, 0] = 127.0
    plain = torch.zeros(1, 2048)
    fed, residual = torch.zeros(1, 2048), {}
    for _ in range(10):
        plain += encode(update, "int8", "site_a").received["w"]
        encoded, residual = feed_back(update, residual, "int8", "site_a")
        fed += encoded.received["w"]
    assert plain[0, 1].item() == 0.0
    assert fed[0, 1].item() == pytest.approx(3.0, abs=0.5)
    assert fed[0, 0].item() == pytest.approx(1270.0, abs=0.5)


def test_an_empty_residual_is_zero_and_a_round_by_hand() -> None:
    """127 and 0.4 with step 1: 0.4 stays behind; next round 0.8 goes as 1 and -0.2 stays."""
    update = {"w": torch.full((1, 1024), 0.4)}
    update["w"][0, 0] = 127.0
    first, residual = feed_back(update, {}, "int8", "site_a")
    assert first.received["w"][0, :2].tolist() == [127.0, 0.0]
    assert residual["w"][0, :2].tolist() == pytest.approx([0.0, 0.4])
    second, residual = feed_back(update, residual, "int8", "site_a")
    assert second.received["w"][0, :2].tolist() == [127.0, 1.0]
    assert residual["w"][0, :2].tolist() == pytest.approx([0.0, -0.2])


@pytest.mark.parametrize("precision", FORMATS)
def test_values_that_are_not_finite_are_refused_by_name(precision: str) -> None:
    update = {**_update(), "c.weight": torch.full((40, 30), float("nan"))}
    with pytest.raises(PayloadError, match=r"site_a: c\.weight .*not finite"):
        encode(update, precision, "site_a")


def test_a_format_nobody_knows_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"light\.precision"):
        encode(_update(), "int4", "site_a")


def _with(name: str, change: Callable[[Tensor], object]) -> Callable[[Weights], dict[str, object]]:
    return lambda sent: {**sent, name: change(sent[name])}


@pytest.mark.parametrize(
    "spoil",
    [
        _with("codes", lambda t: t[:-1]),
        _with("codes", lambda t: t.to(torch.float32)),
        _with("codes", lambda _: "text"),
        _with("scales", lambda t: t[:-1]),
        _with("scales", lambda t: t * float("nan")),
        _with("scales", lambda t: t.to(torch.float16)),
        _with("plain", lambda t: torch.cat([t, t])),
        _with("plain", lambda t: t.tolist()),
        lambda sent: {name: tensor for name, tensor in sent.items() if name != "plain"},
        lambda sent: {**sent, "more": torch.zeros(1)},
        lambda _: {},
    ],
)
def test_nothing_spoilt_is_taken(spoil: Callable[[Weights], dict[str, object]]) -> None:
    update = _update()
    sent = encode(update, "int8", "site_a")
    with pytest.raises(PayloadError, match="site_a: "):
        decode(spoil(sent.tensors), shapes_of(update), "int8", sent.layout, "site_a")


@pytest.mark.parametrize("precision", FORMATS)
def test_another_network_s_update_is_refused(precision: str) -> None:
    update, other = _update(), {**_update(), "c.weight": torch.zeros(30, 40)}
    sent = encode(other, precision, "site_a")
    with pytest.raises(PayloadError, match=r"site_a: .*another shape.*compare the bundle"):
        decode(sent.tensors, shapes_of(update), precision, sent.layout, "site_a")


def test_the_layout_does_not_hang_on_the_order() -> None:
    shapes = shapes_of(_update())
    assert layout_of(shapes) == layout_of(dict(reversed(shapes.items())))
    assert layout_of(shapes) != layout_of({**shapes, "a.bias": (17,)})
