# SPDX-License-Identifier: Apache-2.0
"""FedAvg: two toy sites by hand, refusals, and properties of a weighted mean."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dsfedmed.algorithms.aggregation import UniformMean, WeightedMean
from dsfedmed.errors import PayloadError

Update = tuple[str, dict[str, Tensor], float]


@st.composite
def updates_strategy(draw: st.DrawFn) -> list[Update]:
    count = draw(st.integers(1, 5))
    value = st.floats(-1e3, 1e3, width=32)
    updates = []
    for site in range(count):
        weight = draw(st.integers(1, 500))
        values = draw(st.lists(value, min_size=5, max_size=5))
        tensors = {"a": torch.tensor(values[:4]).view(2, 2), "b": torch.tensor(values[4])}
        updates.append((f"site_{site}", tensors, float(weight)))
    return updates


def mean_of(updates: list[Update]) -> dict[str, Tensor]:
    mean = WeightedMean()
    for update in updates:
        mean.add(*update)
    return mean.result()


def test_two_sites_by_hand() -> None:
    mean = WeightedMean()
    mean.add("one", {"w": torch.tensor([1.0, 2.0]), "b": torch.tensor(4.0)}, weight=1)
    mean.add("two", {"w": torch.tensor([5.0, -2.0]), "b": torch.tensor(0.0)}, weight=3)
    result = mean.result()
    assert result["w"].tolist() == [4.0, -1.0]
    assert float(result["b"]) == 1.0
    assert mean.names == ("one", "two")
    assert mean.weight == 4.0


@settings(max_examples=40)
@given(updates_strategy())
def test_equals_the_naive_mean(updates: list[Update]) -> None:
    total = sum(weight for _, _, weight in updates)
    for key, value in mean_of(updates).items():
        naive = sum((weight / total) * tensors[key].double() for _, tensors, weight in updates)
        torch.testing.assert_close(value, naive.float(), atol=1e-4, rtol=1e-6)
        assert value.dtype == torch.float32


@settings(max_examples=40)
@given(updates_strategy(), st.randoms(use_true_random=False))
def test_order_does_not_matter(updates: list[Update], random: object) -> None:
    shuffled = list(updates)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = mean_of(updates), mean_of(shuffled)
    for key in first:
        torch.testing.assert_close(first[key], second[key], atol=1e-10, rtol=2e-7)


@settings(max_examples=40)
@given(updates_strategy())
def test_stays_between_the_sites(updates: list[Update]) -> None:
    for key, value in mean_of(updates).items():
        stacked = torch.stack([tensors[key] for _, tensors, _ in updates])
        assert bool((value >= stacked.amin(0) - 1e-3).all())
        assert bool((value <= stacked.amax(0) + 1e-3).all())


GOOD = {"w": torch.ones(2, 2), "b": torch.zeros(3)}
BAD: list[tuple[dict[str, object], float, str]] = [
    ({"w": torch.ones(2, 2)}, 1, r"lacks \['b'\]"),
    ({**GOOD, "c": torch.ones(1)}, 1, r"unexpected \['c'\]"),
    ({"w": torch.ones(2, 2), "b": torch.zeros(4)}, 1, r"b has shape \(4,\) instead of \(3,\)"),
    ({"w": torch.ones(2, 2), "b": torch.tensor([0.0, float("nan"), 0.0])}, 1, "b has values that are not finite"),
    ({"w": torch.ones(2, 2), "b": torch.tensor([0.0, float("inf"), 0.0])}, 1, "b has values that are not finite"),
    ({"w": torch.ones(2, 2), "b": torch.zeros(3, dtype=torch.int64)}, 1, "b is torch.int64"),
    ({"w": torch.ones(2, 2), "b": [0.0, 0.0, 0.0]}, 1, "b is list"),
    (GOOD, 0, "weight 0"),
    (GOOD, -3, "weight -3"),
    (GOOD, float("nan"), "weight nan"),
    (GOOD, float("inf"), "weight inf"),
    (GOOD, True, "weight True"),
    (GOOD, "12", "weight 12"),  # type: ignore[list-item]
    ({"w": torch.ones(2, 2), "b": torch.full((3,), 1e300, dtype=torch.float64)}, 1, "b has values that are not finite"),
    ({}, 1, "empty"),
]


@pytest.mark.parametrize(("tensors", "weight", "words"), BAD)
def test_a_refused_update_is_named_and_leaves_the_mean_unchanged(
    tensors: dict[str, Tensor], weight: float, words: str
) -> None:
    mean = WeightedMean()
    mean.add("good", GOOD, 2)
    before = mean.result()
    with pytest.raises(PayloadError, match=words) as refused:
        mean.add("hospital_x", tensors, weight)
    assert refused.value.where == "hospital_x"
    after = mean.result()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert mean.weight == 2
    mean.add("hospital_x", {key: value + 3 for key, value in GOOD.items()}, 1)
    assert float(mean.result()["b"][0]) == 1.0


def test_the_first_update_is_held_against_the_reference() -> None:
    mean = WeightedMean(reference=GOOD)
    with pytest.raises(PayloadError, match="lacks"):
        mean.add("site", {"w": torch.ones(2, 2)}, 1)
    with pytest.raises(PayloadError, match="no update"):
        mean.result()


def test_a_site_counts_once() -> None:
    mean = WeightedMean()
    mean.add("site", GOOD, 1)
    with pytest.raises(PayloadError, match="already counted"):
        mean.add("site", GOOD, 1)


def test_updates_are_copied_and_memory_is_one_accumulator() -> None:
    tensors = {"w": torch.ones(4)}
    mean = WeightedMean()
    mean.add("first", tensors, 1)
    tensors["w"].fill_(100.0)
    held = mean._sums["w"]
    for site in range(20):
        mean.add(f"site_{site}", {"w": torch.ones(4)}, 1)
    assert mean._sums["w"] is held
    assert mean.result()["w"].tolist() == [1.0] * 4


def test_half_precision_updates_give_a_float32_mean() -> None:
    mean = WeightedMean(accumulate=torch.float32)
    mean.add("a", {"w": torch.tensor([60000.0], dtype=torch.float16)}, 1)
    mean.add("b", {"w": torch.tensor([60000.0], dtype=torch.float16)}, 1)
    assert mean.result()["w"].dtype == torch.float32
    assert float(mean.result()["w"]) == 60000.0 - 60000.0 % 32


def test_in_a_uniform_mean_every_site_counts_alike() -> None:
    """(1 + 4) / 2, whatever the counts; a weight that is none is refused all the same."""
    found = UniformMean()
    found.add("a", {"w": torch.tensor([1.0])}, 1)
    found.add("b", {"w": torch.tensor([4.0])}, 100)
    assert found.result()["w"].tolist() == [2.5]
    with pytest.raises(PayloadError, match="not a positive finite number"):
        found.add("c", {"w": torch.tensor([1.0])}, 0)
