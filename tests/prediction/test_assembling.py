# SPDX-License-Identifier: Apache-2.0
"""Results lie as the image's own file does; very large pictures come back at their own size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np

from dsfedmed.data.files.read import read_raw
from dsfedmed.prediction.assembling import assemble, is_nifti
from dsfedmed.prediction.model import SegmentationBundle
from dsfedmed.prediction.predictor import Predictor
from dsfedmed.prediction.segmenting import Segmenter


def test_a_reduced_picture_has_its_results_at_its_own_size(grey_run: Path, images: Path) -> None:
    bundle = SegmentationBundle(grey_run / "release")
    raw = replace(read_raw(images / "wide.png"), full_size=(88, 60))
    found = assemble(raw, Segmenter(bundle).segment([raw], {}), bundle, True)
    assert found.mask.shape == (60, 88)
    assert found.probabilities is not None
    assert found.probabilities.shape == (1, 60, 88)
    small = replace(raw, full_size=None)
    own = assemble(small, Segmenter(bundle).segment([small], {}), bundle, False)
    np.testing.assert_array_equal(found.mask, own.mask.repeat(2, axis=0).repeat(2, axis=1))
    assert found.areas[0].pixels == found.mask.sum()


def test_flat_nifti_is_nifti_and_other_pictures_are_not(images: Path) -> None:
    assert is_nifti(read_raw(images / "flat.nii.gz"))
    assert not is_nifti(read_raw(images / "wide.png"))


def test_a_flat_nifti_has_the_axes_of_its_file(grey_model: Predictor, images: Path) -> None:
    found = grey_model.predict(images / "flat.nii.gz")
    stored = nibabel.load(images / "flat.nii.gz")
    assert found.mask.shape == stored.shape
    np.testing.assert_array_equal(found.affine, stored.affine)
    (area,) = found.areas
    assert area.area_mm2 == found.mask.sum() * 0.25


def test_every_slice_is_shown_once(grey_run: Path, images: Path) -> None:
    bundle = SegmentationBundle(grey_run / "release")
    raw = read_raw(images / "scan")
    seen: list[int] = []
    found = assemble(
        raw, Segmenter(bundle).segment([raw], {}), bundle, False, lambda one: seen.append(int(one.meta["patch_index"]))
    )
    assert seen == [0, 1, 2, 3]
    assert found.mask.shape == (26, 24, 4)
    assert [area.slice for area in found.areas] == [1, 2, 3, 4, None]


def test_a_clip_without_a_place_has_no_area(grey_model: Predictor, images: Path) -> None:
    found = grey_model.predict(images / "clip.dcm", probabilities=False)
    assert found.mask.shape == (23, 17, 3)
    assert {(area.area_mm2, area.volume_ml) for area in found.areas} == {(None, None)}
    np.testing.assert_array_equal(found.affine, np.eye(4))
