# SPDX-License-Identifier: Apache-2.0
"""A bound on one site's share, by hand and as a property."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsfedmed.algorithms.robust.share_cap import capped


def test_what_one_site_loses_is_spread_over_the_others() -> None:
    found = capped({"a": 80, "b": 10, "c": 10}, 0.5)
    assert found == pytest.approx({"a": 0.5, "b": 0.25, "c": 0.25})


def test_who_comes_above_the_bound_by_that_is_capped_as_well() -> None:
    found = capped({"a": 70, "b": 20, "c": 5, "d": 5}, 0.4)
    assert found == pytest.approx({"a": 0.4, "b": 0.4, "c": 0.1, "d": 0.1})


def test_weights_below_the_bound_are_returned_as_they_are() -> None:
    assert capped({"a": 3, "b": 4}, 1.0) == {"a": 3, "b": 4}
    assert capped({"a": 3, "b": 2, "c": 2}, 0.5) == {"a": 3, "b": 2, "c": 2}


def test_a_bound_that_cannot_be_held_makes_all_alike() -> None:
    assert capped({"a": 9, "b": 1}, 0.5) == {"a": 1.0, "b": 1.0}


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=8), st.floats(0.05, 1))
def test_no_share_is_above_the_bound(counts: list[int], most: float) -> None:
    found = capped({f"s{number}": float(count) for number, count in enumerate(counts)}, most)
    total = sum(found.values())
    assert all(weight / total <= max(most, 1 / len(counts)) + 1e-9 for weight in found.values())
