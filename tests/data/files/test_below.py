# SPDX-License-Identifier: Apache-2.0
"""Images below a folder: a DICOM series is one image, and slices of a series are never taken one by one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from dsfedmed.data.files.below import images_below, is_series_folder
from tests.data.conftest import write_image
from tests.data.files.making import dicom, series

SLICES = np.zeros((3, 4, 5), np.uint8)
GREY = np.zeros((4, 5), np.uint8)


def below(folder: Path, **options: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in images_below(folder, **options).images]


def test_folders_in_order_and_what_is_passed_over(tmp_path: Path) -> None:
    for name in ("b.png", "a/c.png", "a/d/e.png", ".trash/f.png", "__MACOSX/g.png", "a/._c.png", "out/h.png"):
        write_image(tmp_path / name, GREY)
    (tmp_path / "a" / "notes.txt").write_text("no image")
    assert below(tmp_path, but_not=tmp_path / "out") == ["b.png", "a/c.png", "a/d/e.png"]
    assert images_below(tmp_path).left_out == 1


def test_a_series_is_its_folder_and_a_preview_beside_it_a_picture(tmp_path: Path) -> None:
    series(tmp_path / "scan", SLICES)
    assert is_series_folder(tmp_path / "scan")
    write_image(tmp_path / "scan" / "preview.png", GREY)
    assert below(tmp_path) == ["scan", "scan/preview.png"]
    assert not is_series_folder(tmp_path / "scan")


def test_two_series_in_one_folder_stay_one_entry_for_the_reader_to_refuse(tmp_path: Path) -> None:
    series(tmp_path / "scan", SLICES)
    for path in series(tmp_path / "other", SLICES):
        path.rename(tmp_path / "scan" / f"second_{path.name}")
    assert below(tmp_path / "scan") == ["."]


def test_single_pictures_and_clips_are_no_slices(tmp_path: Path) -> None:
    """Each mammogram is a series of its own; ultrasound pictures of one series have no positions."""
    (tmp_path / "mammo").mkdir()
    for number in range(3):
        dicom(tmp_path / "mammo" / f"{number}.dcm", GREY, SeriesInstanceUID=f"1.2.{number + 1}")
    (tmp_path / "us").mkdir()
    for number in range(2):
        dicom(tmp_path / "us" / f"{number}.dcm", GREY, SeriesInstanceUID="1.2.9")
    assert below(tmp_path) == ["mammo/0.dcm", "mammo/1.dcm", "mammo/2.dcm", "us/0.dcm", "us/1.dcm"]


def test_a_link_in_a_circle_is_followed_once(tmp_path: Path) -> None:
    write_image(tmp_path / "a" / "b.png", GREY)
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert below(tmp_path) == ["a/b.png"]


def test_a_damaged_header_is_left_to_the_reader(tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 40)
    assert below(tmp_path) == ["x.dcm"]


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run as root, who may read everything: the system's answer is made up."""
    write_image(tmp_path / "a" / "b.png", GREY)
    scan = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("/a"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(PermissionError, match="/a"):
        images_below(tmp_path)
