# SPDX-License-Identifier: Apache-2.0
"""The bounded mean by hand, and that no one value moves it beyond the others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsfedmed.algorithms.robust.bounded_mean import bounded_mean


@pytest.mark.parametrize(
    ("values", "found"),
    [([4.0], 4), ([1.0, 2.0], 1.5), ([9.0, 1.0, 2.0], 2), ([0.0, 1.0, 3.0, 99.0], 2), ([-99.0, 1.0, 2.0, 3.0, 4.0], 2)],
)
def test_by_hand(values: list[float], found: float) -> None:
    assert bounded_mean(values) == pytest.approx(found)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=7), st.floats(-1e9, 1e9))
def test_one_value_cannot_move_it_beyond_the_others(honest: list[float], lie: float) -> None:
    assert min(honest) - 1e-9 <= bounded_mean([*honest, lie]) <= max(honest) + 1e-9
