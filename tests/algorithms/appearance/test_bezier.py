# SPDX-License-Identifier: Apache-2.0
"""Maps along a Bezier curve, by hand."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.algorithms.appearance.bezier import bezier_map

VALUES = torch.tensor([0.0, 0.125, 0.5, 1.0])


def test_inner_points_on_the_diagonal_change_nothing() -> None:
    """x(t) = y(t) for every t, whatever the two are."""
    assert bezier_map(VALUES, (1 / 3, 1 / 3), (2 / 3, 2 / 3)).tolist() == pytest.approx(VALUES.tolist(), abs=1e-6)
    assert bezier_map(VALUES, (1 / 3, 1 / 3), (2 / 3, 2 / 3), falls=True).tolist() == pytest.approx(
        (1 - VALUES).tolist(), abs=1e-6
    )


def test_a_steep_map_by_hand() -> None:
    """Both inner points at the upper left: x = t^3 and y = 1 - (1 - t)^3, so that t = 1/2 leads from 1/8 to 7/8."""
    got = bezier_map(VALUES, (0.0, 1.0), (0.0, 1.0))
    assert got[[0, 1, 3]].tolist() == pytest.approx([0, 0.875, 1], abs=1e-4)
    assert bezier_map(VALUES, (0.0, 1.0), (0.0, 1.0), falls=True)[1].item() == pytest.approx(0.125, abs=1e-4)
    flat = bezier_map(1 - VALUES, (1.0, 0.0), (1.0, 0.0))
    assert flat[1].item() == pytest.approx(0.125, abs=1e-4), "the same curve, turned by half a turn"


@pytest.mark.parametrize(
    ("first", "second"), [((1.0, 0.0), (0.0, 1.0)), ((1.0, 1.0), (0.0, 0.0)), ((0.9, 0.1), (0.1, 0.2))]
)
def test_a_map_rises_from_black_to_white_even_where_the_curve_folds(
    first: tuple[float, float], second: tuple[float, float]
) -> None:
    got = bezier_map(torch.linspace(0, 1, 101), first, second)
    assert (got[0].item(), got[-1].item()) == (0.0, 1.0)
    assert bool((got.diff() >= 0).all())
    falling = bezier_map(torch.linspace(0, 1, 101).view(1, 101, 1), first, second, falls=True)
    torch.testing.assert_close(falling.flatten(), 1 - got)
    assert falling.dtype == torch.float32
