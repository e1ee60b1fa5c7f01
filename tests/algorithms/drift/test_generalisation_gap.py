# SPDX-License-Identifier: Apache-2.0
"""Weights of the mean that follow the sites' gaps, by hand."""

from __future__ import annotations

import pytest

from dsfedmed.algorithms.drift.generalisation_gap import LEAST, GapAdjustment

HALVES = {"a": 0.5, "b": 0.5}


def test_two_sites_by_hand() -> None:
    """After 5 of 10 rounds the step is 0.2 / 2 / 2 = 0.05: a gains it, b loses half of it, and 1.025 is divided out."""
    got = GapAdjustment(0.2).adjusted(HALVES, {"a": 0.2, "b": -0.1}, done=5, rounds=10)
    assert got == {"a": pytest.approx(0.55 / 1.025), "b": pytest.approx(0.475 / 1.025)}


def test_only_the_ratio_of_the_gaps_counts() -> None:
    small, large = ({"a": size, "b": -size / 2} for size in (1e-6, 1.0))
    assert GapAdjustment().adjusted(HALVES, small, 0, 10) == pytest.approx(
        GapAdjustment().adjusted(HALVES, large, 0, 10)
    )


@pytest.mark.parametrize("gaps", [{}, {"a": 0.0, "b": 0.0}, {"a": 0.3, "b": 0.3}])
def test_sites_with_the_same_gap_keep_their_weights(gaps: dict[str, float]) -> None:
    shares = {"a": 0.5, "b": 0.5}
    assert GapAdjustment().adjusted(shares, gaps, 1, 10) == pytest.approx(shares)


def test_a_site_without_a_gap_loses_by_the_division_alone() -> None:
    """Three sites: a gains 0.3 / 3 in full, and 1.1 is divided out."""
    thirds = dict.fromkeys("abc", 1 / 3)
    got = GapAdjustment(0.3).adjusted(thirds, {"a": 0.1}, done=0, rounds=5)
    assert got == {"a": pytest.approx((1 / 3 + 0.1) / 1.1), **dict.fromkeys("bc", pytest.approx(1 / 3.3))}


def test_at_the_end_nothing_moves_and_no_weight_falls_to_nothing() -> None:
    gaps = {"a": 1.0, "b": -1.0}
    assert GapAdjustment(1.0).adjusted({"a": 0.7, "b": 0.3}, gaps, 10, 10) == pytest.approx({"a": 0.7, "b": 0.3})
    last = GapAdjustment(1.0).adjusted({"a": 0.9, "b": 0.1}, gaps, 0, 10)
    assert last["b"] == pytest.approx(LEAST / (1 + LEAST))
    assert sum(last.values()) == pytest.approx(1)
