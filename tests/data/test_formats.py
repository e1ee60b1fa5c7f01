# SPDX-License-Identifier: Apache-2.0
"""One file of any format as an array: axes, channels, windows, volumes, and bad files by name."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from dsfedmed.data.formats import Raw, probe, read_raw, read_volume, stem_of, suffix_of
from dsfedmed.errors import DataError
from tests.data.conftest import write_image


@pytest.mark.parametrize(
    ("name", "suffix", "stem"),
    [("a.PNG", ".png", "a"), ("a.b.nii.gz", ".nii.gz", "a.b"), ("c.nii", ".nii", "c"), ("d", "", "d")],
)
def test_suffix_and_stem(name: str, suffix: str, stem: str) -> None:
    assert (suffix_of(Path(name)), stem_of(Path(name))) == (suffix, stem)


@pytest.mark.parametrize("suffix", ["png", "npy", "nii.gz", "dcm"])
def test_the_array_is_in_x_y_order_with_a_channel(tmp_path: Path, grey: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"scan.{suffix}"
    write_image(path, grey)
    raw = read_raw(path)
    assert raw.array.shape == (10, 6, 1)
    assert not raw.volume
    np.testing.assert_array_equal(raw.array[..., 0], grey.T)
    assert (probe(path).size, probe(path).channels, probe(path).slices) == ((10, 6), 1, None)


def test_a_nifti_volume_has_slices(tmp_path: Path) -> None:
    write_image(tmp_path / "volume.nii", np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    raw = read_raw(tmp_path / "volume.nii")
    assert raw.volume
    assert raw.array.shape == (3, 2, 4)
    assert np.diag(raw.affine).tolist() == [0.5, 0.5, 2.0, 1.0]
    assert probe(tmp_path / "volume.nii").slices == 4


def test_a_palette_is_colour_in_an_image_and_an_index_in_a_label(tmp_path: Path) -> None:
    picture = Image.new("P", (4, 3), 2)
    picture.putpalette([0, 0, 0, 10, 20, 30, 200, 100, 50])
    picture.save(tmp_path / "p.png")
    assert read_raw(tmp_path / "p.png").array[0, 0].tolist() == [200, 100, 50]
    assert read_raw(tmp_path / "p.png", label=True).array[0, 0].tolist() == [2]


@pytest.mark.parametrize(
    ("array", "window"),
    [
        (np.array([3, 9], np.uint8), (0.0, 255.0)),
        (np.array([True, False]), (0.0, 1.0)),
        (np.arange(1001, dtype=np.float32), (5.0, 995.0)),
    ],
    ids=["eight bits", "bits", "percentiles 0.5 and 99.5"],
)
def test_windows_by_hand(array: np.ndarray, window: tuple[float, float]) -> None:
    assert Raw(Path("scan"), array, np.eye(4), volume=False).window == pytest.approx(window)


def test_a_window_of_values_that_are_not_finite_names_the_file() -> None:
    with pytest.raises(DataError, match="scan: it holds values that are not finite"):
        _ = Raw(Path("scan"), np.array([1.0, np.nan]), np.eye(4), volume=False).window


def test_slices_of_a_volume_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "v.nii"
    write_image(path, np.zeros((2, 3, 4), np.int16))
    first = read_volume(path)
    assert read_volume(path) is first
    nibabel.save(nibabel.Nifti1Image(np.ones((3, 2, 5)), np.eye(4)), path)
    assert read_volume(path).array.shape == (3, 2, 5), "a file that has changed is read again"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.png", b"no picture", "a.png: it cannot be read"),
        ("a.gif", b"", "unknown image format '.gif'"),
        ("a.nii", b"short", "a.nii: it cannot be read"),
        ("a.dcm", b"x" * 200, "a.dcm: it cannot be read"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_raw(tmp_path / name)


def test_a_picture_that_announces_too_many_pixels_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    for read in (probe, read_raw):
        with pytest.raises(DataError, match=r"a\.png: it cannot be read"):
            read(tmp_path / "a.png")


def test_a_missing_file_and_odd_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing"):
        read_raw(tmp_path / "none.png")
    for shape, words in (((2, 2, 2, 2), "no flat image"), ((2, 3, 17), "no flat image")):
        np.save(tmp_path / "odd.npy", np.zeros(shape))
        with pytest.raises(DataError, match=words):
            read_raw(tmp_path / "odd.npy")
