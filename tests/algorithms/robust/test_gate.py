# SPDX-License-Identifier: Apache-2.0
"""Updates that cannot be: by their length, by hand, and an earlier one again by its sketch."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.algorithms.robust import gate
from dsfedmed.algorithms.robust.gate import SKETCH, complaint, growth_beside_others, replayed, sketch

OTHERS = [1.0, 2.0, 3.0]


@pytest.mark.parametrize("norm", [0.021, 0.5, 2.0, 10.0, 39.9])
def test_lengths_that_honest_sites_have_are_let_through(norm: float) -> None:
    assert complaint(norm, OTHERS, 50.0, 20.0) == ""


@pytest.mark.parametrize(
    ("norm", "said"),
    [
        (41.0, "is 20.5 times as long as the median of the others'"),
        (6000.0, "is 120 times as long as the weights themselves"),
        (0.0, "changes nothing"),
        (0.019, "has 0.0095 of the length of the median of the others'"),
    ],
)
def test_lengths_that_cannot_be_are_told_with_their_figures(norm: float, said: str) -> None:
    assert complaint(norm, OTHERS, 50.0, 20.0) == said


def test_where_nobody_changes_anything_nobody_is_refused() -> None:
    assert complaint(0.0, [0.0, 0.0], 50.0, 20.0) == ""


def test_of_two_sites_nobody_says_which_is_too_long() -> None:
    assert complaint(0.0, [1.0], 50.0, 20.0) == ""
    assert complaint(900.0, [1.0], 50.0, 20.0) == ""
    assert complaint(5001.0, [1.0], 50.0, 20.0) != ""


@pytest.mark.parametrize("bad", [0.0, 1e-6, 1000.0, 1e9])
def test_of_three_sites_the_bad_one_alone_is_refused(bad: float) -> None:
    assert complaint(bad, [1.0, 2.0], 50.0, 20.0) != ""
    assert complaint(1.0, [bad, 2.0], 50.0, 20.0) == ""
    assert complaint(2.0, [1.0, bad], 50.0, 20.0) == ""


def test_one_bad_site_cannot_have_another_refused() -> None:
    assert complaint(2.0, [1.0, 2.0, 1e9], 50.0, 20.0) == ""
    assert complaint(2.0, [1.0, 2.0, 1e-9], 50.0, 20.0) == ""


def test_growth_is_held_against_the_others_growth() -> None:
    before = {"a": 1.0, "b": 2.0, "c": 1.0}
    found = growth_beside_others({"a": 0.1, "b": 0.1, "c": 0.4}, before)
    assert found == pytest.approx({"a": 0.1 / 0.4, "b": 0.05 / 0.4, "c": 0.4 / 0.1})
    assert growth_beside_others({"a": 10.0, "b": 2.0}, {"a": 1.0}) == {}, "nobody to compare with"
    assert growth_beside_others({"a": 10.0, "b": 2.0, "new": 5.0}, before).keys() == {"a", "b"}


def test_an_update_is_known_again_and_another_is_not() -> None:
    draws = torch.Generator().manual_seed(3)
    first, second = (torch.randn(5000, generator=draws) for _ in range(2))
    known = {1: sketch(first, 7), 2: sketch(second, 7)}
    assert known[1].shape == (SKETCH,)
    assert replayed(sketch(first, 7), known, 1e-3) == 1
    assert replayed(sketch(second.half().float(), 7), known, 1e-3) == 2
    assert replayed(sketch(first + 0.01 * second, 7), known, 1e-3) is None, "a cosine of 0.99995"
    assert replayed(sketch(-first, 7), known, 1e-3) is None


def test_a_sketch_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every number is in one bucket, with a sign; it makes no difference in how many pieces they are summed."""
    ones = torch.ones(3 * SKETCH + 5)
    whole = sketch(ones, 1)
    assert set(whole[5:].tolist()) <= {-3.0, -1.0, 1.0, 3.0}
    assert set(whole[:5].tolist()) <= {-4.0, -2.0, 0.0, 2.0, 4.0}
    monkeypatch.setattr(gate, "PIECE", SKETCH)
    assert torch.equal(sketch(ones, 1), whole)


def test_cosines_of_sketches_are_near_those_of_the_updates() -> None:
    draws = torch.Generator().manual_seed(4)
    first, second = (torch.randn(20000, generator=draws) for _ in range(2))
    mixed = first + second
    true = float(torch.cosine_similarity(first, mixed, dim=0))
    assert float(torch.cosine_similarity(sketch(first, 1), sketch(mixed, 1), dim=0)) == pytest.approx(true, abs=0.08)
