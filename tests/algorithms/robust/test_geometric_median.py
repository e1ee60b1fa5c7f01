# SPDX-License-Identifier: Apache-2.0
"""The geometric median: known points, weights, and that it is where the sum of distances is smallest."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsfedmed.algorithms.robust.geometric_median import geometric_median
from dsfedmed.algorithms.robust.geometry import gram_matrix


def median_of(rows: torch.Tensor, weights: list[float] | None = None) -> torch.Tensor:
    mixture = geometric_median(gram_matrix([rows]), weights or [1.0] * len(rows))
    assert float(mixture.sum()) == pytest.approx(1)
    return mixture @ rows.double()


def test_of_a_square_it_is_the_middle() -> None:
    square = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
    assert median_of(square).tolist() == pytest.approx([1.0, 1.0], abs=1e-5)


def test_on_a_line_it_is_the_middle_point_however_far_the_last_is() -> None:
    assert float(median_of(torch.tensor([[0.0], [1.0], [1e6]]))) == pytest.approx(1.0, abs=1e-2)


def test_more_than_half_of_the_weight_decides() -> None:
    assert float(median_of(torch.tensor([[0.0], [1.0], [5.0]]), [3.0, 1.0, 1.0])) == pytest.approx(0.0, abs=1e-3)


def test_equal_updates_are_their_own_median() -> None:
    assert median_of(torch.ones(3, 2)).tolist() == [1.0, 1.0]
    assert float(median_of(torch.tensor([[1.0], [1.0], [1.0], [9.0]]))) == pytest.approx(1.0, abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=3, max_size=6))
def test_no_other_point_nearby_is_closer_to_all(points: list[tuple[float, float]]) -> None:
    rows = torch.tensor(points, dtype=torch.float64)
    found = median_of(rows)
    total = torch.linalg.vector_norm(rows - found, dim=1).sum()
    for turn in torch.linspace(0, 6.28, 9):
        moved = found + 0.1 * torch.stack([turn.cos(), turn.sin()])
        assert torch.linalg.vector_norm(rows - moved, dim=1).sum() >= total - 1e-3
