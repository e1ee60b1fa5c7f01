# SPDX-License-Identifier: Apache-2.0
"""Labels come onto the voxels of their image, whatever wrote them, or are refused with both affines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dsfedmed.data.labelling import Labelling, read_label
from dsfedmed.data.masks.rule import IGNORED, MaskRule
from dsfedmed.errors import DataError
from tests.data.files.making import dicom, nifti, png, segmentation, series, shape_of
from tests.data.files.test_niftis import AFFINE, VOLUME, stored_as

MASK = (VOLUME > 600).astype(np.uint8)
ONE = Labelling(MaskRule(), 1)


def test_a_label_stored_otherwise_is_turned_onto_its_image(tmp_path: Path) -> None:
    nifti(tmp_path / "image.nii", VOLUME, AFFINE)
    for name, order, flips in (("a", (0, 1, 2), (-1, 1, 1)), ("b", (2, 0, 1), (1, -1, -1))):
        stored, affine = stored_as(order, flips)
        nifti(tmp_path / f"{name}.nii", (stored > 600).astype(np.uint8), affine)
        label = read_label([tmp_path / f"{name}.nii"], ONE, tmp_path / "image.nii")
        np.testing.assert_array_equal(label.array[..., 0], MASK)


def test_a_label_on_another_grid_is_sampled_where_it_lies(tmp_path: Path) -> None:
    nifti(tmp_path / "image.nii", np.zeros((8, 8, 4), np.int16), AFFINE)
    wide = np.zeros((16, 16, 6), np.uint8)
    wide[4:8, 6:12, 2:4] = 1
    half = AFFINE @ np.diag([0.5, 0.5, 1, 1])
    half[:3, 3] = (AFFINE @ [-0.25, -0.25, -1, 1])[:3]  # half voxels share corners, and begin a slice earlier
    nifti(tmp_path / "label.nii", wide, half)
    label = read_label([tmp_path / "label.nii"], ONE, tmp_path / "image.nii")
    expected = np.zeros((8, 8, 4), np.uint8)
    expected[2:4, 3:6, 1:3] = 1
    np.testing.assert_array_equal(label.array[..., 0], expected)
    assert "brought onto its image's voxels" in label.notes[0]


def test_a_label_beside_its_image_or_with_a_lost_affine_is_refused(tmp_path: Path) -> None:
    nifti(tmp_path / "image.nii", VOLUME, AFFINE)
    far = AFFINE.copy()
    far[0, 3] += 500
    nifti(tmp_path / "far.nii", MASK, far)
    nifti(tmp_path / "lost.nii", MASK, np.eye(4))
    for name, words in (("far", "part of it lies outside"), ("lost", "one of the two affines was lost")):
        with pytest.raises(DataError) as caught:
            read_label([tmp_path / f"{name}.nii"], ONE, tmp_path / "image.nii")
        assert words in caught.value.reason
        assert "the label's is [" in caught.value.reason
        assert "the image's [0.8 0 0 -30" in caught.value.reason
    by_grid = Labelling(MaskRule(geometry="grid"), 1)
    label = read_label([tmp_path / "lost.nii"], by_grid, tmp_path / "image.nii")
    np.testing.assert_array_equal(label.array[..., 0], MASK)


def test_where_one_of_the_two_knows_no_place_stored_voxels_correspond(tmp_path: Path) -> None:
    stored, affine = stored_as((1, 0, 2), (-1, -1, 1))
    nifti(tmp_path / "image.nii", stored, affine)
    nifti(tmp_path / "label.nii", (stored > 600).astype(np.uint8), None)
    label = read_label([tmp_path / "label.nii"], ONE, tmp_path / "image.nii")
    np.testing.assert_array_equal(label.array[..., 0], MASK)
    picture = shape_of() > 128
    png(tmp_path / "image.png", shape_of())
    nifti(tmp_path / "flat.nii", picture.T.astype(np.uint8), np.diag([-1.0, -1.0, 1.0, 1.0]))
    label = read_label([tmp_path / "flat.nii"], ONE, tmp_path / "image.png")
    np.testing.assert_array_equal(label.array[..., 0].T, picture)


def test_a_nifti_label_and_a_segmentation_of_a_dicom_series(tmp_path: Path) -> None:
    volume = np.stack([shape_of(seed) for seed in range(4)])
    series(tmp_path / "ct", volume)
    mask = volume > 128
    to_ras = np.diag([-0.7, -0.5, 3.0, 1.0])
    to_ras[:3, 3] = (10, 20, 5)
    nifti(tmp_path / "label.nii.gz", mask.transpose(2, 1, 0).astype(np.uint8), to_ras)
    segmentation(tmp_path / "seg.dcm", mask[1:3], [1, 1], [8.0, 11.0])
    label = read_label([tmp_path / "label.nii.gz"], ONE, tmp_path / "ct")
    np.testing.assert_array_equal(label.array[::-1, ::-1, :, 0].transpose(2, 1, 0), mask)
    part = read_label([tmp_path / "seg.dcm"], ONE, tmp_path / "ct")
    expected = mask.copy()
    expected[[0, 3]] = False
    np.testing.assert_array_equal(part.array[::-1, ::-1, :, 0].transpose(2, 1, 0), expected)


def test_a_nifti_label_drawn_on_one_dicom_picture(tmp_path: Path) -> None:
    tags = {"ImagePositionPatient": [-5.0, -6, 7], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    dicom(tmp_path / "image.dcm", shape_of(), PixelSpacing=[0.5, 0.5], **tags)
    mask = shape_of() > 128
    affine = np.diag([-0.5, -0.5, 1.0, 1.0])
    affine[:3, 3] = (5, 6, 7)
    flipped = affine @ np.array([[-1, 0, 0, 19], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    nifti(tmp_path / "label.nii", mask.T[::-1].astype(np.uint8), flipped)
    label = read_label([tmp_path / "label.nii"], ONE, tmp_path / "image.dcm")
    np.testing.assert_array_equal(label.array[..., 0].T, mask)


def test_several_masks_of_one_image(tmp_path: Path) -> None:
    one, other = np.zeros((6, 8), np.uint8), np.zeros((6, 8), np.uint8)
    one[1:3, 1:4], other[2:5, 3:7] = 255, 255
    png(tmp_path / "a.png", one)
    png(tmp_path / "b.png", other)
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    union = read_label(paths, ONE, None)
    np.testing.assert_array_equal(union.array[..., 0].T, (one | other) > 0)
    classes = read_label(paths, Labelling(MaskRule(files="classes"), 2, ((255, 1),)), None)
    np.testing.assert_array_equal(classes.array[..., 0].T, np.where(other > 0, 2, one // 255))
    with pytest.raises(DataError, match="2 label files, and 2 classes"):
        read_label(paths, Labelling(MaskRule(), 2, ((255, 1),)), None)
    png(tmp_path / "small.png", one[:3])
    with pytest.raises(DataError, match=r"small\.png: it is 8 x 3 and a\.png is 8 x 6"):
        read_label([paths[0], tmp_path / "small.png"], ONE, None)


def test_ignored_pixels_stay_ignored_when_masks_are_joined(tmp_path: Path) -> None:
    one, other = np.array([[0, 9, 1]], np.uint8), np.array([[1, 0, 9]], np.uint8)
    png(tmp_path / "a.png", one)
    png(tmp_path / "b.png", other)
    label = read_label([tmp_path / "a.png", tmp_path / "b.png"], Labelling(MaskRule(ignore=9), 1), None)
    assert label.array[:, 0, 0].tolist() == [1, IGNORED, 1]


def test_a_label_volume_is_understood_once_for_its_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: Callable[[str], list[int]]
) -> None:
    nifti(tmp_path / "image.nii", VOLUME, AFFINE)
    nifti(tmp_path / "label.nii", MASK, AFFINE)
    calls = counted("dsfedmed.data.labelling.decode")
    for _ in range(5):
        read_label([tmp_path / "label.nii"], ONE, tmp_path / "image.nii")
    assert len(calls) == 1
    nifti(tmp_path / "label.nii", np.zeros((9, 7, 6), np.uint8), AFFINE)
    assert read_label([tmp_path / "label.nii"], ONE, None).slices == 6, "a file that has changed is read again"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[int]]:
    """Return what counts the calls of a function named by its path."""

    def count(name: str) -> list[int]:
        module, _, attribute = name.rpartition(".")
        import importlib

        original, calls = getattr(importlib.import_module(module), attribute), []

        def called(*args: object, **named: object) -> object:
            calls.append(1)
            return original(*args, **named)

        monkeypatch.setattr(name, called)
        return calls

    return count
