# SPDX-License-Identifier: Apache-2.0
"""Areas by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dsfedmed.data.files.geometry import AS_STORED
from dsfedmed.prediction.areas import Area, areas_of, pixel_mm2, stored_number, volumes_of

MASK = np.array([[1, 1, 0, 0, 0], [0, 2, 0, 0, 1], [0, 0, 0, 1, 1]], dtype=np.uint8)
"""Six labelled pixels: one part of three and one of three, that do not touch; one of them is the inner class."""


def placed(affine: np.ndarray, shape: tuple[int, int, int] = (3, 4, 5), **more: Any) -> dict[str, Any]:
    return {
        "frame_affine": affine, "original_affine": affine, "frame_shape": np.array(shape),
        "frame_orientation": AS_STORED, **more,
    }  # fmt: skip


def test_nested_classes_count_for_the_outer_ones() -> None:
    disc, cup = areas_of(MASK, ("disc", "cup"), True, {})
    assert (disc.pixels, disc.parts, cup.pixels, cup.parts) == (6, 2, 1, 1)
    assert (disc.name, disc.label, cup.name, cup.label) == ("disc", 1, "cup", 2)


def test_other_classes_count_for_themselves() -> None:
    first, second = areas_of(MASK, ("a", "b"), False, {})
    assert (first.pixels, first.parts, second.pixels) == (5, 2, 1)


def test_a_picture_without_a_place_has_no_area() -> None:
    assert areas_of(MASK, ("a",), True, {})[0] == Area(1, "a", 6, 2)


def test_pixels_that_touch_at_a_corner_are_one_part() -> None:
    assert areas_of(np.eye(3, dtype=np.uint8), ("a",), True, {})[0].parts == 1


def test_nothing_is_empty() -> None:
    (area,) = areas_of(np.zeros((3, 3), np.uint8), ("a",), True, placed(np.diag([0.5, 2, 3, 1])))
    assert area.is_empty
    assert (area.pixels, area.parts, area.area_mm2) == (0, 0, 0)


def test_an_area_is_pixels_times_their_size() -> None:
    (area,) = areas_of(MASK, ("a",), True, placed(np.diag([0.5, 2.0, 3.0, 1.0])))
    assert area.area_mm2 == pytest.approx(6 * 0.5 * 2)


def test_the_size_of_a_pixel_does_not_depend_on_how_it_is_turned() -> None:
    turn = np.eye(4)
    turn[:3, :3] = np.array([[0, -1, 0], [np.sqrt(0.5), 0, -np.sqrt(0.5)], [np.sqrt(0.5), 0, np.sqrt(0.5)]])
    assert pixel_mm2(placed(turn @ np.diag([0.5, 2.0, 3.0, 1.0]))) == pytest.approx(1.0)


def test_a_volume_is_voxels_times_their_size() -> None:
    mask = np.zeros((4, 4, 4), np.uint8)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[3, 3, 3] = 1
    (area,) = volumes_of(mask, ("a",), True, placed(np.diag([10.0, 10.0, -5.0, 1.0])))
    assert area.whole_volume
    assert (area.pixels, area.parts) == (3, 2)
    assert area.volume_ml == pytest.approx(1.5)
    assert volumes_of(mask, ("a",), True, {})[0].volume_ml is None


@pytest.mark.parametrize(("direction", "number"), [(1.0, 2), (-1.0, 4)])
def test_slices_are_numbered_as_they_are_stored(direction: float, number: int) -> None:
    orientation = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, direction]])
    meta = placed(np.eye(4), frame_slices=5, patch_index=1) | {"frame_orientation": orientation}
    assert stored_number(meta) == number
    assert stored_number({}) is None
    assert stored_number({"patch_index": 0, "frame_slices": 3}) == 1
