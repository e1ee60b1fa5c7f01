# SPDX-License-Identifier: Apache-2.0
"""Building blocks of made-up images, by hand and by their statistics."""

from __future__ import annotations

import numpy as np
import pytest

from dsfedmed.data.demo.scene import grid, outline, smooth_field, soft, speckle, tube


def draws() -> np.random.Generator:
    return np.random.default_rng(3)


def test_the_grid_is_in_x_y_order() -> None:
    x, y = grid((3, 2))
    assert x.tolist() == [[0, 0], [1, 1], [2, 2]]
    assert y.tolist() == [[0, 1], [0, 1], [0, 1]]


def test_a_smooth_field_has_zero_mean_unit_variance_and_like_neighbours() -> None:
    field = smooth_field(draws(), (64, 48), 3.0)
    assert field.shape == (64, 48)
    assert field.mean() == pytest.approx(0.0, abs=1e-9)
    assert field.std() == pytest.approx(1.0, abs=1e-9)
    assert np.abs(np.diff(field, axis=0)).mean() < 0.3


def test_speckle_is_rayleigh_of_mean_one() -> None:
    """Rayleigh: deviation over mean is sqrt(4 / pi - 1), about 0.523."""
    field = speckle(draws(), (256, 256), (1.0, 0.5))
    assert field.mean() == pytest.approx(1.0)
    assert field.std() == pytest.approx((4 / np.pi - 1) ** 0.5, rel=0.1)
    assert field.min() >= 0


def test_a_smooth_round_outline_is_a_disc() -> None:
    x, y = grid((40, 40))
    depth = outline(draws(), (40, 40), (20.0, 18.0), 10.0)
    np.testing.assert_allclose(depth, 1 - np.hypot(x - 20, y - 18) / 10, atol=1e-9)


def test_an_elongated_outline_keeps_its_area() -> None:
    inside = outline(draws(), (80, 80), (40.0, 40.0), 15.0, aspect=1.8) > 0
    assert inside.sum() == pytest.approx(np.pi * 15**2, rel=0.02)
    points = np.argwhere(inside)
    shortest, longest = np.sqrt(np.linalg.eigvalsh(np.cov(points.T)))
    assert longest / shortest == pytest.approx(1.8, rel=0.05)


def test_a_soft_edge_by_hand() -> None:
    mask = soft(np.array([-100.0, 0.0, 0.5, 100.0]), 2.0)
    np.testing.assert_allclose(mask, [0.0, 0.5, 1 / (1 + np.exp(-1.0)), 1.0], atol=1e-9)


def test_a_tube_crosses_the_image_and_is_as_wide_as_asked() -> None:
    inside = tube(draws(), (60, 200), 4.0) > 0
    widths = inside.sum(axis=1)
    crossed = widths[(widths > 0) & ~inside[:, 0] & ~inside[:, -1]]
    assert len(crossed) > 30
    assert set(crossed) <= {7, 8}
