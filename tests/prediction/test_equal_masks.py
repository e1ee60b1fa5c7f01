# SPDX-License-Identifier: Apache-2.0
"""Masks are those of ``monai.bundle run`` on the same release, number by number, for every kind of image."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from monai.bundle import run
from PIL import Image

from dsfedmed.bundles.documents import INFERENCE
from dsfedmed.prediction.images import predict_images
from dsfedmed.prediction.predictor import Predictor, load
from dsfedmed.prediction.sources import find_sources
from tests.prediction.conftest import picture


def by_monai(release: Path, images: Path, out: Path, extension: str = ".png") -> Path:
    run(
        config_file=str(release / INFERENCE), bundle_root=str(release), dataset_dir=str(images), output_dir=str(out),
        output_ext=extension, device="cpu",
    )  # fmt: skip
    return out


def numbers(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return values as stored, and the affine (NIfTI)."""
    if path.suffix == ".png":
        return np.asarray(Image.open(path)), np.eye(4)
    found = nibabel.load(path)
    assert found.get_data_dtype() == np.uint8
    return np.asarray(found.dataobj), found.affine


@pytest.fixture(scope="module")
def both(grey_run: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The masks of both ways, of all images."""
    ours, theirs = tmp_path_factory.mktemp("ours"), tmp_path_factory.mktemp("theirs")
    outcome = predict_images(load(grey_run), find_sources(images, ours).images, ours)
    assert (outcome.done, outcome.failed) == (7, [])
    by_monai(grey_run / "release", images, theirs)
    return ours, theirs


@pytest.mark.parametrize(
    "name",
    ["wide_mask.png", "photo_mask.png", "array_mask.png", "volume_mask.nii.gz", "clip_mask.nii.gz", "scan_mask.nii.gz"],
)
def test_the_mask_is_the_same(name: str, both: tuple[Path, Path]) -> None:
    (ours, our_place), (theirs, their_place) = (numbers(folder / name) for folder in both)
    assert set(np.unique(theirs)) == {0, 1}
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(our_place, their_place)


def test_a_picture_s_file_is_the_same_byte_by_byte(both: tuple[Path, Path]) -> None:
    assert (both[0] / "wide_mask.png").read_bytes() == (both[1] / "wide_mask.png").read_bytes()


def test_a_flat_nifti_keeps_its_place(grey_run: Path, images: Path, both: tuple[Path, Path], tmp_path: Path) -> None:
    """monai.bundle writes it as NIfTI where it is told so; here it is NIfTI by itself."""
    (tmp_path / "one").mkdir()
    shutil.copy(images / "flat.nii.gz", tmp_path / "one")
    theirs, place = numbers(
        by_monai(grey_run / "release", tmp_path / "one", tmp_path / "o", ".nii.gz") / "flat_mask.nii.gz"
    )
    ours, own_place = numbers(both[0] / "flat_mask.nii.gz")
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(own_place, place)


def test_a_series_is_given_as_its_folder(grey_run: Path, images: Path, both: tuple[Path, Path], tmp_path: Path) -> None:
    theirs, place = numbers(by_monai(grey_run / "release", images / "scan", tmp_path / "theirs") / "scan_mask.nii.gz")
    predict_images(load(grey_run), find_sources(images / "scan", tmp_path / "ours").images, tmp_path / "ours")
    for folder in (tmp_path / "ours", both[0]):
        ours, own_place = numbers(folder / "scan_mask.nii.gz")
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(own_place, place)


def test_colours_and_two_classes(colour_release: Path, colour_model: Predictor, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for seed in range(3):
        Image.fromarray(picture(31, 27, seed, 3)).save(folder / f"{seed}.png")
    by_monai(colour_release, folder, tmp_path / "theirs")
    found: set[int] = set()
    for seed in range(3):
        mask = colour_model.predict(folder / f"{seed}.png").mask
        np.testing.assert_array_equal(mask, numbers(tmp_path / "theirs" / f"{seed}_mask.png")[0])
        found |= set(np.unique(mask).tolist())
    assert found == {0, 1, 2}


def test_slices_in_batches_differ_in_last_bits_at_most(grey_run: Path, images: Path) -> None:
    one, three = (load(grey_run, batch_size=size).predict(images / "volume.nii.gz") for size in (1, 3))
    assert one.probabilities is not None
    assert three.probabilities is not None
    np.testing.assert_allclose(one.probabilities, three.probabilities, atol=1e-5)
    sure = abs(one.probabilities[0] - 0.5) > 1e-4
    assert sure.mean() > 0.9
    np.testing.assert_array_equal(one.mask[sure], three.mask[sure])


def test_a_site_is_read_as_its_datalist_says(grey_run: Path, make_site: Callable[..., Path], tmp_path: Path) -> None:
    """Its test images, with its window; the labels beside them are no images."""
    site = make_site(window=[40, 200])
    by_monai(grey_run / "release", site, tmp_path / "theirs")
    sources = find_sources(site, tmp_path / "ours")
    assert "test part" in sources.note
    assert [source.shown for source in sources.images] == ["images/test0.png", "images/test1.png"]
    predict_images(load(grey_run), sources.images, tmp_path / "ours")
    for name in ("images/test0_mask.png", "images/test1_mask.png"):
        np.testing.assert_array_equal(numbers(tmp_path / "ours" / name)[0], numbers(tmp_path / "theirs" / name)[0])
