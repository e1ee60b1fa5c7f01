# SPDX-License-Identifier: Apache-2.0
"""One file of any format as an array: axes, channels, windows, volumes, and bad files by name."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from dsfedmed.data.files import limits
from dsfedmed.data.files.kinds import Kind, kind_of, stem_of, suffix_of
from dsfedmed.data.files.read import probe, read_raw, read_volume
from dsfedmed.errors import DataError
from tests.data.conftest import write_image
from tests.data.files.making import dicom, nifti, shape_of


@pytest.mark.parametrize(
    ("name", "suffix", "stem"),
    [
        ("a.PNG", ".png", "a"),
        ("a.b.nii.gz", ".nii.gz", "a.b"),
        ("c.nii", ".nii", "c"),
        ("d", "", "d"),
        ("IM.0001", "", "IM.0001"),
        ("1.2.840.5", "", "1.2.840.5"),
    ],
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
    assert raw.array.shape == (3, 2, 4, 1)
    assert np.diag(raw.affine).tolist() == [0.5, 0.5, 2.0, 1.0]
    assert probe(tmp_path / "volume.nii").slices == 4


def test_slices_of_a_volume_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "v.nii"
    write_image(path, np.zeros((2, 3, 4), np.int16))
    first = read_volume(path)
    assert read_volume(path) is first
    nibabel.save(nibabel.Nifti1Image(np.ones((3, 2, 5)), np.eye(4)), path)
    assert read_volume(path).array.shape == (3, 2, 5, 1), "a file that has changed is read again"


def kinds(folder: Path) -> dict[str, Kind]:
    """One file of every format, none with a suffix."""
    grey = shape_of()
    for suffix, kind in (
        ("png", Kind.PNG),
        ("jpg", Kind.JPEG),
        ("bmp", Kind.BMP),
        ("gif", Kind.GIF),
        ("tif", Kind.TIFF),
    ):
        Image.fromarray(grey).save(folder / f"a.{suffix}")
        (folder / f"a.{suffix}").rename(folder / kind.name)
    write_image(folder / "a.npy", grey)
    (folder / "a.npy").rename(folder / "NPY")
    for name in ("a.nii", "a.nii.gz"):
        nifti(folder / name, grey.T, np.eye(4))
    (folder / "a.nii").rename(folder / "NIFTI")
    (folder / "a.nii.gz").rename(folder / "PACKED")
    dicom(folder / "DICOM", grey)
    bare = (folder / "DICOM").read_bytes()[132:]
    (folder / "BARE").write_bytes(bare)
    return {**{kind.name: kind for kind in Kind}, "PACKED": Kind.NIFTI, "BARE": Kind.DICOM}


def test_files_without_suffix_are_known_by_their_content(tmp_path: Path) -> None:
    for name, kind in kinds(tmp_path).items():
        assert kind_of(tmp_path / name) is kind
        difference = read_raw(tmp_path / name).array[..., 0].T.astype(int) - shape_of()
        assert np.abs(difference).max() <= (40 if kind is Kind.JPEG else 0), name
        assert probe(tmp_path / name).size == (20, 12)


def test_a_wrong_suffix_is_said_and_the_content_read(tmp_path: Path) -> None:
    Image.fromarray(shape_of()).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    raw = read_raw(tmp_path / "a.jpg")
    np.testing.assert_array_equal(raw.array[..., 0].T, shape_of())
    assert raw.notes == ("it is named .jpg and is PNG; read as PNG",)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.png", b"no picture", "a.png: it cannot be read"),
        ("a.nii", b"short", "a.nii: it cannot be read"),
        ("a.dcm", b"x" * 200, "a.dcm: it"),
        ("a.gif", b"", "the file is empty, 0 bytes"),
        ("a.xyz", b"something", "unknown image format '.xyz'"),
        ("a", b"something", "no suffix, and content that is not known"),
        ("a.nrrd", b"NRRD0005", "NRRD, which is not read"),
        ("a.mha", b"ObjectType = Image", "MetaImage"),
        ("a.png", b"PK\x03\x04....", "a ZIP archive"),
        ("a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        ("a.pdf", b"%PDF-1.4", "a PDF"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    for read in (read_raw, probe):
        with pytest.raises(DataError, match=words) as caught:
            read(tmp_path / name)
        assert caught.value.fix


@pytest.mark.parametrize("kind", [*(kind.name for kind in Kind), "PACKED", "BARE"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
def test_cut_files_are_errors_with_their_name_or_whole(tmp_path: Path, kind: str, share: float) -> None:
    """A decoder may make a whole picture of a part; it never hands on its own exception."""
    kinds(tmp_path)
    path = tmp_path / kind
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    for label in (False, True):
        try:
            assert read_raw(path, label).array.size
        except DataError as error:
            assert error.where == str(path)  # noqa: PT017


def test_a_missing_file_a_folder_and_odd_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing"):
        read_raw(tmp_path / "none.png")
    with pytest.raises(DataError, match="holds no DICOM pictures"):
        read_raw(tmp_path)
    for shape in ((2, 2, 2, 2), (2, 3, 17), (4,)):
        np.save(tmp_path / "odd.npy", np.zeros(shape))
        with pytest.raises(DataError, match="not a flat image"):
            read_raw(tmp_path / "odd.npy")
    np.save(tmp_path / "objects.npy", np.array([["a"]]))
    with pytest.raises(DataError, match="no numbers"):
        read_raw(tmp_path / "objects.npy")


def test_whatever_is_too_large_is_refused_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BYTES", 10)
    names = kinds(tmp_path)
    for name, kind in names.items():
        if kind in (Kind.NPY, Kind.NIFTI, Kind.DICOM, Kind.TIFF):
            with pytest.raises(DataError, match="GiB when decoded"):
                read_raw(tmp_path / name)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: it is not a file \(a pipe"):
        read_raw(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<!DOCTYPE html><html>log in</html>", "a web page"),
        (b"<HTML>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"RIFF\x20\0\0\0WEBPVP8 ", "WebP"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
    ],
)
def test_what_stands_in_the_place_of_an_image_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=f"a\\.png: it is {told}"):
        read_raw(tmp_path / "a.png")


@pytest.mark.parametrize("preamble", [b"II*\0\x54\x18\x08\0", b"MM\0*\0\x08\x18\x54", b"BM\0\0"])
def test_a_dicom_file_whose_preamble_is_the_start_of_another_format_is_dicom(tmp_path: Path, preamble: bytes) -> None:
    """PS3.10 7.1 leaves the 128 bytes before the mark to other programs; they often begin a TIFF."""
    dicom(tmp_path / "a.dcm", shape_of())
    content = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(preamble.ljust(128, b"\0") + content[128:])
    assert kind_of(tmp_path / "a.dcm") is Kind.DICOM
    np.testing.assert_array_equal(read_raw(tmp_path / "a.dcm").array[..., 0].T, shape_of())
