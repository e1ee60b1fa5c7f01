# SPDX-License-Identifier: Apache-2.0
"""Names and places as people and systems make them."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from dsfedmed.data.files.listing import found_as, image_files, list_images
from dsfedmed.errors import DataError
from tests.data.files.making import dicom, png, series, shape_of

NAMES = ["a b.png", "it's.png", "50%#1.png", "Bild ü.png", "x.y.z.png", "n" * 200 + ".png", 'quote".png']


def test_what_systems_write_is_passed_over_and_other_files_are_counted(tmp_path: Path) -> None:
    for name in NAMES:
        png(tmp_path / name, shape_of())
    dicom(tmp_path / "IM0001", shape_of())
    for name in ("._a.png", ".DS_Store", "Thumbs.db", "desktop.ini", "DICOMDIR", "datalist.json"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "report.pdf").write_bytes(b"%PDF")
    found = list_images(tmp_path)
    assert {path.name for path in found.images} == {*NAMES, "IM0001"}
    assert [path.name for path in found.left_out] == ["notes.txt", "report.pdf"]


def test_links_are_followed_once(tmp_path: Path) -> None:
    png(tmp_path / "real" / "a.png", shape_of())
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "site")
    assert [path.name for path in list_images(tmp_path / "site", deep=True).images] == ["a.png"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_are_found_in_either_form(tmp_path: Path, form: str) -> None:
    name = unicodedata.normalize(form, "Süd/Bild é.png")
    png(tmp_path / name, shape_of())
    other = unicodedata.normalize("NFD" if form == "NFC" else "NFC", "Süd/Bild é.png")
    assert found_as(tmp_path / other) == tmp_path / name
    assert found_as(tmp_path / "none.png") == tmp_path / "none.png"


def test_slices_of_one_series_are_one_image_and_single_pictures_are_each_their_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import numpy as np

    series(tmp_path / "ct", np.stack([shape_of(seed) for seed in range(3)]))
    assert image_files(tmp_path / "ct") == [tmp_path / "ct"]
    assert image_files(tmp_path) == [tmp_path / "ct"]
    (tmp_path / "us").mkdir()
    for number in range(3):
        dicom(tmp_path / "us" / f"IM{number}", shape_of(number))
    (tmp_path / "us" / "readme.txt").write_text("x")
    assert [path.name for path in image_files(tmp_path / "us")] == ["IM0", "IM1", "IM2"]
    assert "1 files are no images and are left out (readme.txt)" in caplog.text
    with pytest.raises(DataError, match="the folder is missing"):
        image_files(tmp_path / "none")


def test_a_file_that_may_not_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dsfedmed.data.files.read import read_raw

    png(tmp_path / "a.png", shape_of())

    def refused(*args: object, **named: object) -> object:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(DataError, match=r"a\.png: it cannot be opened \(Permission denied\)"):
        read_raw(tmp_path / "a.png")
