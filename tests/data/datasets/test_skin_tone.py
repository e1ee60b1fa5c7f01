# SPDX-License-Identifier: Apache-2.0
"""CIELAB and the typology angle against known values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsfedmed.data.datasets.skin_tone import to_lab, typology_angle


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 255, 255), (100.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0.0, 0.0)),
    ],
)
def test_published_colours(rgb: tuple[int, int, int], lab: tuple[float, float, float]) -> None:
    assert np.allclose(to_lab(np.array(rgb) / 255), lab, atol=0.03)


def scene(skin: tuple[int, int, int], lesion: tuple[int, int, int] = (60, 30, 20)) -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros((60, 80), bool)
    mask[20:40, 30:50] = True
    return np.where(mask[..., None], lesion, skin) / 255.0, mask


def test_the_angle_is_that_of_the_skin_beside_the_lesion() -> None:
    image, mask = scene((240, 215, 200))
    lightness, _, yellow = to_lab(np.array([240, 215, 200]) / 255)
    assert typology_angle(image, mask) == pytest.approx(np.degrees(np.arctan((lightness - 50) / yellow)))
    image[:, :4] = 0.0  # the black around the lens is no skin
    assert typology_angle(image, mask) == pytest.approx(np.degrees(np.arctan((lightness - 50) / yellow)))


def test_no_skin_no_angle() -> None:
    image, mask = scene((240, 215, 200))
    assert typology_angle(image, np.ones_like(mask)) is None
    assert typology_angle(np.zeros_like(image), mask) is None
    assert typology_angle(image, np.zeros_like(mask)) is not None  # without lesion, all of it is skin


COLOUR = st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))


@given(COLOUR, COLOUR)
def test_the_lesion_s_own_colour_does_not_matter(one: tuple[int, int, int], two: tuple[int, int, int]) -> None:
    assert typology_angle(*scene((190, 140, 115), one)) == typology_angle(*scene((190, 140, 115), two))
