# SPDX-License-Identifier: Apache-2.0
"""`Predictor.predict`: files and arrays, what comes back, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.bundles.release import write_release
from dsfedmed.errors import ConfigError, DataError
from dsfedmed.prediction.predictor import Predictor, load
from tests.bundles.conftest import BUNDLES, SMALL
from tests.prediction.conftest import GREY, TURNED, picture


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_an_array_is_read_as_its_npy_file(dtype: type, grey_model: Predictor, tmp_path: Path) -> None:
    array = picture(25, 19, 2).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    by_file, by_array = grey_model.predict(tmp_path / "a.npy"), grey_model.predict(array)
    assert by_array.mask.shape == (25, 19)
    assert by_array.mask.dtype == np.uint8
    np.testing.assert_array_equal(by_file.mask, by_array.mask)
    np.testing.assert_array_equal(by_file.probabilities, by_array.probabilities)
    assert by_array.affine is None


def test_channels_are_the_last_axis(colour_model: Predictor) -> None:
    colours = picture(31, 27, 1, 3)
    found = colour_model.predict(colours)
    assert found.mask.shape == (31, 27)
    assert found.probabilities is not None
    assert found.probabilities.shape == (2, 31, 27)
    with pytest.raises(DataError, match=r"image: its shape is \(3, 31, 27\), with the channels first.*np\.moveaxis"):
        colour_model.predict(np.moveaxis(colours, -1, 0))


def test_grey_stands_for_three_equal_channels(colour_model: Predictor) -> None:
    grey = picture(31, 27)
    as_colours = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(colour_model.predict(grey).mask, colour_model.predict(as_colours).mask)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((9, 9, 4), np.uint8), "it has 4 channels and 1 are expected"),
        (np.zeros((9, 9, 40), np.uint8), "is not a flat image"),
        (np.zeros((2, 9, 9, 1), np.uint8), "is not a flat image"),
        (np.zeros(9, np.uint8), "is not a flat image"),
        (np.zeros((0, 9), np.uint8), "holds nothing"),
        (np.array([["a"]]), "no numbers"),
        (np.full((9, 9), np.nan), "not finite"),
        ([[1, 2]], "it is a list"),
    ],
)
def test_arrays_that_are_no_picture_are_refused(image: np.ndarray, reason: str, grey_model: Predictor) -> None:
    with pytest.raises(DataError, match=rf"^image: .*{reason}"):
        grey_model.predict(image)


def test_the_mask_is_where_the_probability_is_above_one_half(grey_model: Predictor, images: Path) -> None:
    for name in ("wide.png", "volume.nii.gz"):
        found = grey_model.predict(images / name)
        assert found.probabilities is not None
        assert found.probabilities.shape == (1, *found.mask.shape)
        assert found.probabilities.dtype == np.float32
        np.testing.assert_array_equal(found.mask, found.probabilities[0] > 0.5)
        assert 0 < found.mask.mean() < 1


def test_a_volume_comes_back_as_it_is_stored(grey_model: Predictor, images: Path) -> None:
    found = grey_model.predict(images / "volume.nii.gz")
    assert found.mask.shape == nibabel.load(images / "volume.nii.gz").shape
    np.testing.assert_allclose(found.affine, TURNED, atol=1e-6)
    assert [area.slice for area in found.areas] == [1, 2, 3, 4, None]
    for number in range(4):  # the table's number is the place in the file, whichever way it is read
        assert found.areas[number].pixels == found.mask[..., number].sum()
        assert found.areas[number].area_mm2 == pytest.approx(found.mask[..., number].sum() * 0.4)
    assert found.areas[-1].volume_ml == pytest.approx(found.mask.sum() * 0.8 * 0.5 * 3 / 1000)


def test_a_photograph_is_upright(grey_model: Predictor, images: Path) -> None:
    with Image.open(images / "photo.jpg") as photo:
        assert photo.size == (33, 20)
    assert grey_model.predict(images / "photo.jpg").mask.shape == (33, 20)


def test_probabilities_may_be_left_out(grey_model: Predictor, images: Path) -> None:
    assert grey_model.predict(str(images / "wide.png"), probabilities=False).probabilities is None


def test_files_that_cannot_be_read_are_named(grey_model: Predictor, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n junk")
    for path, reason in (
        (tmp_path / "a.png", "cannot be read"),
        (tmp_path / "none.png", "there is no such file or folder"),
    ):
        with pytest.raises(DataError, match=rf"{path.name}: .*{reason}"):
            grey_model.predict(path)
    with pytest.raises(DataError, match=r"Name an image, or a folder that holds one DICOM series\.$"):
        grey_model.predict("none.png")  # nothing is said of a datalist, as there is none


def test_model_and_prediction_are_one_line_each(grey_model: Predictor, colour_model: Predictor, images: Path) -> None:
    assert repr(grey_model) == "<Predictor: 1 class (lesion), 1 channel, on cpu>"
    assert repr(colour_model) == "<Predictor: 2 classes (cell, nucleus), 3 channels, on cpu>"
    found = grey_model.predict(picture(25, 19))
    assert repr(found) == f"<Prediction: 25 x 19, lesion {int(found.mask.sum())} pixels>"
    whole = grey_model.predict(images / "volume.nii.gz", probabilities=False)
    size = " x ".join(map(str, whole.mask.shape))
    assert repr(whole) == f"<Prediction: {size}, lesion {int(whole.mask.sum())} voxels>"


def test_a_device_that_is_not_there_is_refused(grey_run: Path) -> None:
    with pytest.raises(ConfigError, match="device nonsense"):
        load(grey_run, "nonsense")


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_every_network_that_segments_can_be_used(bundle: Path, tmp_path: Path) -> None:
    settings = {**SMALL.get(bundle.name, {}), "in_channels": 1, "num_classes": 1}
    network = BundleDefinition(bundle, settings).network(seed=0)
    made = write_release(bundle, tmp_path / "release", network.state_dict(), settings, GREY, {})
    found = load(made).predict(picture(21, 18))
    assert found.mask.shape == (21, 18)
    assert found.probabilities is not None
    np.testing.assert_array_equal(found.mask, found.probabilities[0] > 0.5)
    assert found.probabilities.std() > 0
