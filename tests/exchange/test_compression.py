# SPDX-License-Identifier: Apache-2.0
"""Half precision on the wire: what is rounded, what is refused, and that rounding never enters an update."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsfedmed.errors import ConfigError, PayloadError
from dsfedmed.exchange.compression import add, difference, pack, unpack

WEIGHTS = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=8)


def test_half_precision_by_hand() -> None:
    """Between 1 and 2 the step of float16 is 2^-10: 1.0006 lies nearer to 1 + 2^-10 than to 1."""
    packed = pack({"w": torch.tensor([1.0006, 1.0004, -2.0])}, "fp16")["w"]
    assert packed.dtype == torch.float16
    assert packed.tolist() == [1 + 2**-10, 1.0, -2.0]
    assert unpack({"w": packed})["w"].dtype == torch.float32


def test_full_precision_keeps_every_bit() -> None:
    weights = {"w": torch.tensor([1.0006, 1e-30, 3e38])}
    assert torch.equal(unpack(pack(weights, "fp32"))["w"], weights["w"])


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_what_is_packed_is_a_contiguous_copy_without_gradient(precision: str) -> None:
    source = torch.arange(6.0).reshape(2, 3).T.requires_grad_()
    packed = pack({"w": source}, precision)["w"]
    assert packed.is_contiguous()
    assert not packed.requires_grad
    assert packed.data_ptr() != source.data_ptr()
    contiguous = torch.ones(3)
    copied = pack({"w": contiguous}, precision)["w"]
    contiguous += 1
    assert copied.tolist() == [1.0, 1.0, 1.0], "the docstring promises copies"


@pytest.mark.parametrize(("value", "precision"), [(65520.0, "fp16"), (float("nan"), "fp32"), (float("inf"), "fp16")])
def test_what_does_not_fit_is_refused_by_name(value: float, precision: str) -> None:
    good = torch.zeros(2)
    with pytest.raises(PayloadError, match=rf"site_c: head\.bias does not fit {precision}.*Use precision fp32"):
        pack({"body": good, "head.bias": torch.tensor([0.0, value])}, precision, "site_c")


def test_the_largest_half_still_fits() -> None:
    assert pack({"w": torch.tensor([65504.0])}, "fp16")["w"].item() == 65504.0


def test_an_unknown_precision_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"light\.precision: 'int4' is unknown.*fp16.*fp32.*int8"):
        pack({}, "int4")


def test_whole_weights_stay_in_half_precision_where_differences_have_eight_bits() -> None:
    assert pack({"w": torch.ones(2)}, "int8")["w"].dtype == torch.float16


@given(WEIGHTS, st.floats(-0.5, 0.5, width=32))
@settings(deadline=None)
def test_rounding_on_the_way_down_is_no_part_of_an_update(values: list[float], step: float) -> None:
    """A site that does not train sends exactly nothing, and one that moves by ``step`` sends no more than that."""
    server = {"w": torch.tensor(values)}
    received = unpack(pack(server, "fp16"))
    assert difference(received, received)["w"].abs().max() == 0
    untouched = add(server, unpack(pack(difference(received, received), "fp16")))
    assert torch.equal(untouched["w"], server["w"])
    moved = difference({"w": received["w"] + step}, received)["w"]
    assert torch.allclose(moved, torch.full_like(moved, step), atol=2e-5)


def test_the_update_by_hand() -> None:
    """The server holds 1.0004, the site gets 1 and trains to 1.25: the server arrives at 1.2504."""
    server = {"w": torch.tensor([1.0004])}
    received = unpack(pack(server, "fp16"))
    assert received["w"].item() == 1.0
    update = pack(difference({"w": torch.tensor([1.25])}, received), "fp16")
    assert update["w"].item() == 0.25
    result = add(server, update)["w"]
    assert result.dtype == torch.float32
    assert result.item() == pytest.approx(1.2504)


@given(WEIGHTS, WEIGHTS)
@settings(deadline=None)
def test_in_full_precision_a_difference_leads_from_old_to_new(old: list[float], new: list[float]) -> None:
    count = min(len(old), len(new))
    before, after = {"w": torch.tensor(old[:count])}, {"w": torch.tensor(new[:count])}
    delta = pack(difference(after, before), "fp32")
    assert torch.allclose(add(before, delta)["w"], after["w"], atol=1e-4)


def test_names_that_are_not_asked_for_stay_out() -> None:
    """Integer counters of the network are not among the weights that travelled."""
    delta = difference({"w": torch.tensor([2.0]), "counter": torch.tensor(3)}, {"w": torch.tensor([0.5])})
    assert delta.keys() == {"w"}
    assert delta["w"].item() == 1.5
