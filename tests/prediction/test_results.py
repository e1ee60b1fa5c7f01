# SPDX-License-Identifier: Apache-2.0
"""What is written for an image, and which folders may be written to."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import nibabel
import numpy as np
import pytest
from PIL import Image

from dsfedmed.errors import ConfigError, DataError, StoreError
from dsfedmed.prediction.assembling import Prediction
from dsfedmed.prediction.results import FAILURES, RECORD, open_results, write_failures, write_masks


def test_a_picture_s_files(tmp_path: Path) -> None:
    mask = np.array([[0, 1, 2]], np.uint8)
    maps = np.array([[[0.25, 0.75, 1.0]], [[0.0, 0.125, 0.875]]], np.float32)
    found = list(write_masks(tmp_path, PurePosixPath("a/x"), Prediction(mask, maps, (), ("b", "c"), None)))
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "a/x_mask.png", "a/x_probability_1.tif", "a/x_probability_2.tif",
    ]  # fmt: skip
    np.testing.assert_array_equal(np.asarray(Image.open(found[0])), mask)
    for path, plane in zip(found[1:], maps, strict=True):
        read = np.asarray(Image.open(path))
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, plane)


def test_a_volume_s_files(tmp_path: Path) -> None:
    affine = np.diag([0.5, 0.5, 3.0, 1.0])
    mask = np.zeros((2, 3, 4), np.uint8)
    maps = np.full((1, 2, 3, 4), 0.3, np.float32)
    files = list(write_masks(tmp_path, PurePosixPath("v"), Prediction(mask, maps, (), ("b",), affine)))
    assert [path.name for path in files] == ["v_mask.nii.gz", "v_probability_1.nii.gz"]
    read = [nibabel.load(path) for path in files]
    assert [image.get_data_dtype() for image in read] == [np.uint8, np.float32]
    for image in read:
        np.testing.assert_array_equal(image.affine, affine)
    np.testing.assert_array_equal(np.asarray(read[1].dataobj), maps[0])


def test_new_empty_and_own_folders_may_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "new" / "deep", tmp_path / "empty"):
        open_results(folder, "one")
        (folder / "x_mask.png").write_text("earlier")
        open_results(folder, "one")
        assert (folder / "x_mask.png").exists()


def test_other_folders_may_not(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("")
    with pytest.raises(ConfigError, match="it holds other things"):
        open_results(tmp_path, "one")
    open_results(tmp_path / "masks", "one")
    with pytest.raises(ConfigError, match="it holds the masks of another model"):
        open_results(tmp_path / "masks", "two")
    (tmp_path / "masks" / RECORD).write_text("{")
    with pytest.raises(ConfigError, match=rf"{RECORD}: cannot be read"):
        open_results(tmp_path / "masks", "one")
    with pytest.raises(ConfigError, match="it is a file"):
        open_results(tmp_path / "thesis.docx", "one")
    with pytest.raises(StoreError, match="it cannot be made"):
        open_results(tmp_path / "thesis.docx" / "masks", "one")


def test_failures_are_listed_without_paths_of_the_machine(tmp_path: Path) -> None:
    error = DataError("/home/me/a.png", "it is not like /home/me/b.png", "Export it again.")
    write_failures(tmp_path, [("a.png", error)])
    assert (tmp_path / FAILURES).read_text() == "a.png: it is not like b.png. Export it again.\n"
    write_failures(tmp_path, [])
    assert not (tmp_path / FAILURES).exists()
