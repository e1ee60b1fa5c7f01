# SPDX-License-Identifier: Apache-2.0
"""Outlines lie on the border of what was found, and only slices with something in them are drawn."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dsfedmed.prediction.overlays import LONGER_SIDE, Overlays, as_looked_at
from dsfedmed.prediction.segmenting import Found
from dsfedmed.reporting.pictures import PREDICTION_COLOURS


def found(mask: np.ndarray, **meta: Any) -> Found:
    return Found(mask, np.zeros((1, *mask.shape), np.float32), torch.full((1, *mask.shape), 0.5), meta)


def coloured(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (picture == colour).all(axis=-1)


def test_an_outline_is_where_the_mask_ends(tmp_path: Path) -> None:
    mask = np.zeros((600, 700), np.uint8)  # (x, y)
    mask[100:200, 300:600] = 1
    overlays = Overlays(tmp_path, 1, True)
    overlays.of(PurePosixPath("a/x"))(found(mask))
    picture = np.asarray(Image.open(tmp_path / "a" / "x_overlay.png"))
    assert picture.shape == (700, 600, 3)
    expected = np.zeros((700, 600), bool)
    expected[300:600, 100:200] = True
    expected[302:598, 102:198] = False
    np.testing.assert_array_equal(coloured(picture, PREDICTION_COLOURS[0]), expected)
    assert overlays.written == 1


def test_small_pictures_are_enlarged_and_inner_classes_have_their_own_colour(tmp_path: Path) -> None:
    mask = np.zeros((32, 16), np.uint8)
    mask[4:28, 2:14], mask[10:20, 5:11] = 1, 2
    Overlays(tmp_path, 2, True).of(PurePosixPath("x"))(found(mask))
    picture = np.asarray(Image.open(tmp_path / "x_overlay.png"))
    assert picture.shape == (LONGER_SIDE // 2, LONGER_SIDE, 3)
    outer, inner = (np.argwhere(coloured(picture, colour)) for colour in PREDICTION_COLOURS[:2])
    assert (outer.min(axis=0) < inner.min(axis=0)).all()
    assert (outer.max(axis=0) > inner.max(axis=0)).all()


def test_empty_pictures_are_drawn_and_empty_slices_are_not(tmp_path: Path) -> None:
    empty, full = np.zeros((8, 8), np.uint8), np.ones((8, 8), np.uint8)
    overlays = Overlays(tmp_path, 1, True)
    overlays.of(PurePosixPath("flat"))(found(empty))
    for index, mask in enumerate((empty, full, full)):
        overlays.of(PurePosixPath("v"))(found(mask, patch_index=index, frame_slices=3))
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png")) == [
        "flat_overlay.png", "v_overlays/slice_002.png", "v_overlays/slice_003.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("directions", "turned"),
    [
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [0, 1]),  # a volume as read, axial: right at the left, front at the top
        ([[0, 1, 0], [0, 0, 1], [1, 0, 0]], [0, 1]),  # sagittal: front at the left, head at the top
        ([[-1, 0, 0], [0, -1, 0], [0, 0, 1]], []),  # a DICOM picture as it is stored: towards left and back
    ],
)
def test_slices_are_shown_as_radiologists_look_at_them(directions: list[list[int]], turned: list[int]) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.array(directions).T * [0.5, 1.0, 3.0]
    meta = {"frame_affine": affine, "original_affine": affine}
    found_axes, size = as_looked_at(found(np.zeros((40, 30), np.uint8), **meta))
    assert found_axes == turned
    assert size == (341, LONGER_SIDE)  # 20 x 30 mm


def test_pictures_without_a_place_are_not_turned() -> None:
    assert as_looked_at(found(np.zeros((1000, 600), np.uint8))) == ([], (1000, 600))


def test_the_outline_is_turned_with_the_picture(tmp_path: Path) -> None:
    mask = np.zeros((600, 600), np.uint8)
    mask[:100, :200] = 1  # towards the patient's left and back
    given = found(mask, frame_affine=np.eye(4), original_affine=np.eye(4))
    given.picture[0, :100, :200] = 1.0
    Overlays(tmp_path, 1, True).of(PurePosixPath("x"))(given)
    picture = np.asarray(Image.open(tmp_path / "x_overlay.png"))
    rows, columns = np.nonzero(coloured(picture, PREDICTION_COLOURS[0]))
    assert (rows.min(), columns.min(), rows.max(), columns.max()) == (400, 500, 599, 599)
    assert (picture[410:590, 510:590] == 255).all()
