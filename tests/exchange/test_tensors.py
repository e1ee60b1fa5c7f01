# SPDX-License-Identifier: Apache-2.0
"""Announced tensors: what is refused on arrival, and a digest that sees every change."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dsfedmed.errors import PayloadError
from dsfedmed.exchange.tensors import TensorSpec, byte_count, check_tensors, digest, specs_of, under

DTYPES = st.sampled_from([torch.float16, torch.float32, torch.float64, torch.uint8, torch.int64, torch.bool])
NAMES = st.text("abc.", min_size=1, max_size=5)


@st.composite
def tensor_sets(draw: st.DrawFn) -> dict[str, Tensor]:
    """Draw a few small tensors of any dtype, scalars and empty ones among them."""
    names = draw(st.lists(NAMES, max_size=4, unique=True))
    sets = {}
    for name in names:
        shape = draw(st.lists(st.integers(0, 3), max_size=3))
        sets[name] = torch.full(shape, draw(st.integers(0, 1))).to(draw(DTYPES))
    return sets


def _good() -> dict[str, Tensor]:
    return {"conv.weight": torch.ones(2, 3), "conv.bias": torch.zeros(2, dtype=torch.float16)}


def test_good_tensors_pass_as_they_are() -> None:
    sent = _good()
    got = check_tensors(sent, specs_of(sent), "site_a")
    assert list(got) == list(sent)
    assert all(got[name] is sent[name] for name in sent)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"conv.bias": None}, r"missing \['conv.bias'\]"),
        ({"extra": torch.ones(1)}, r"not announced \['extra'\]"),
        ({"conv.weight": torch.ones(3, 2)}, r"conv\.weight has shape \(3, 2\), announced was \(2, 3\)"),
        ({"conv.weight": torch.ones(2, 3).double()}, r"conv\.weight has dtype torch\.float64"),
        ({"conv.weight": torch.ones(2, 3).int()}, r"conv\.weight has dtype torch\.int32"),
        ({"conv.weight": [[1.0] * 3] * 2}, r"conv\.weight is a list, not a tensor"),
        ({"conv.weight": torch.full((2, 3), float("nan"))}, r"conv\.weight holds NaN or infinite"),
        ({"conv.bias": torch.tensor([0.0, float("inf")])}, r"conv\.bias holds NaN or infinite"),
    ],
)
def test_anything_else_is_refused_with_sender_reason_and_fix(change: dict[str, object], reason: str) -> None:
    sent = {name: value for name, value in {**_good(), **change}.items() if value is not None}
    with pytest.raises(PayloadError, match=reason) as caught:
        check_tensors(sent, specs_of(_good()), "site_b")
    assert caught.value.where == "site_b"
    assert len(caught.value.fix) > 20


def test_one_bad_value_in_the_last_tensor_refuses_all() -> None:
    sent = {f"layer.{number}": torch.zeros(4) for number in range(20)}
    specs = specs_of(sent)
    sent["layer.19"][3] = float("-inf")
    taken: dict[str, Tensor] = {}
    with pytest.raises(PayloadError, match=r"layer\.19"):
        taken.update(check_tensors(sent, specs, "site_a"))
    assert taken == {}


def test_announced_dtypes_can_be_narrowed() -> None:
    masks = {"masks": torch.zeros(1, 8, dtype=torch.uint8)}
    specs = specs_of(masks, torch.uint8)
    assert specs == {"masks": TensorSpec((1, 8), (torch.uint8,))}
    check_tensors(masks, specs, "site_a")
    with pytest.raises(PayloadError, match="dtype"):
        check_tensors({"masks": torch.zeros(1, 8)}, specs, "site_a")


@given(tensor_sets())
@settings(deadline=None)
def test_a_set_fits_its_own_announcement(tensors: dict[str, Tensor]) -> None:
    specs = {name: TensorSpec(tuple(t.shape), (t.dtype,)) for name, t in tensors.items()}
    assert check_tensors(tensors, specs, "site_a").keys() == tensors.keys()


def test_one_set_out_of_several_that_are_kept_as_one() -> None:
    kept = {"best/a": torch.tensor(1), "best/best/a": torch.tensor(2), "weights/best/a": torch.tensor(3)}
    assert {name: int(value) for name, value in under(kept, "best/").items()} == {"a": 1, "best/a": 2}


def test_bytes_are_counted_by_hand() -> None:
    assert byte_count(_good()) == 6 * 4 + 2 * 2
    assert byte_count({"flags": torch.zeros(3, dtype=torch.bool), "none": torch.zeros(0)}) == 3


@given(tensor_sets(), st.randoms())
@settings(deadline=None)
def test_the_digest_does_not_depend_on_order_or_layout(tensors: dict[str, Tensor], random: object) -> None:
    names = list(tensors)
    random.shuffle(names)  # type: ignore[attr-defined]
    shuffled = {name: tensors[name].clone() for name in names}
    assert digest(shuffled) == digest(tensors)


def test_a_transposed_view_has_the_digest_of_its_values() -> None:
    values = torch.arange(6.0).reshape(2, 3)
    assert digest({"a": values.T}) == digest({"a": values.T.contiguous()}) != digest({"a": values})


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.tensor([1.0, 2.0, 3.0, 4.5])},
        {"a": torch.tensor([[1.0, 2.0], [3.0, 4.0]])},
        {"a": torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)},
        {"a": torch.tensor([1, 2, 3, 4], dtype=torch.int32)},
        {"b": torch.tensor([1.0, 2.0, 3.0, 4.0])},
        {"a": torch.tensor([1.0, 2.0, 3.0, 4.0]), "b": torch.zeros(0)},
        {},
    ],
)
def test_value_shape_dtype_and_name_change_the_digest(other: dict[str, Tensor]) -> None:
    assert digest(other) != digest({"a": torch.tensor([1.0, 2.0, 3.0, 4.0])})


def test_same_bytes_under_another_dtype_have_another_digest() -> None:
    ones = torch.ones(3)
    assert digest({"a": ones}) != digest({"a": ones.view(torch.int32)})


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=6), st.data())
@settings(deadline=None, max_examples=40)
def test_one_changed_bit_changes_the_digest(values: list[float], data: st.DataObject) -> None:
    tensor = torch.tensor(values, dtype=torch.float32)
    raw = tensor.clone().view(torch.int32)
    raw[data.draw(st.integers(0, len(values) - 1))] ^= 1 << data.draw(st.integers(0, 30))
    assert digest({"w": tensor}) != digest({"w": raw.view(torch.float32)})
