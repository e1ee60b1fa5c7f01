# SPDX-License-Identifier: Apache-2.0
"""DICOM files that ask for more than they hold: judged before pydicom unpacks or goes through anything."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dsfedmed.data.files.below import images_below
from dsfedmed.data.files.dicom import objects, reading
from dsfedmed.data.files.listing import image_files
from dsfedmed.data.files.read import probe, read_raw
from dsfedmed.errors import DataError
from tests.data.files.making import dicom, series, shape_of

PICTURE = shape_of()


def deflated(path: Path, zeros: int = 0) -> Path:
    data = dicom(path, PICTURE)
    if zeros:
        data.add_new(0x7FE11010, "OB", bytes(zeros))
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.save_as(path, enforce_file_format=True)
    return path


def test_a_deflated_file_is_the_plain_one(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_raw(deflated(tmp_path / "a.dcm")).array[..., 0].T, PICTURE)


@pytest.mark.parametrize("preamble", [True, False])
def test_one_that_unpacks_to_too_much_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preamble: bool
) -> None:
    path = deflated(tmp_path / "a.dcm", zeros=3 * 2**20)
    assert path.stat().st_size < 20_000
    if not preamble:
        path.write_bytes(path.read_bytes()[132:])
    monkeypatch.setattr(reading, "MOST_UNPACKED", 2**20)
    for read in (read_raw, probe):
        with pytest.raises(DataError, match="it is deflated, and unpacks to more than 1 MiB"):
            read(path)
    assert images_below(tmp_path).images == (path,), "the others of the folder are listed, and it is refused by name"


def test_a_file_larger_than_what_is_decoded_is_not_opened(tmp_path: Path) -> None:
    dicom(tmp_path / "a.dcm", PICTURE)
    os.truncate(tmp_path / "a.dcm", reading.MAX_BYTES + reading.MOST_HEADER_BYTES + 1)  # takes no room on the disk
    with pytest.raises(DataError, match=r"it has 2\.1 GiB \(at most 2 GiB are read\)"):
        read_raw(tmp_path / "a.dcm")


def test_frames_that_are_announced_alone_are_not_gone_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dicom(tmp_path / "a.dcm", PICTURE, NumberOfFrames=2_000_000)  # 480 MB of pixels, within the limit
    dicom(tmp_path / "b.dcm", PICTURE, NumberOfFrames=99_999_999_999)
    asked: list[int] = []
    monkeypatch.setattr(objects, "_place", lambda _, frame=0: asked.append(frame))
    assert probe(tmp_path / "a.dcm").slices == 2_000_000
    assert len(asked) <= 1
    with pytest.raises(DataError, match="GiB when decoded"):
        probe(tmp_path / "b.dcm")


def test_a_series_with_a_number_of_frames_that_is_none_is_listed_file_by_file(tmp_path: Path) -> None:
    paths = series(tmp_path / "scan", np.stack([PICTURE] * 2))
    for path in paths:
        tag = b"\x28\x00\x08\x00IS\x04\x00x1y2\x28\x00\x10\x00US"  # before the rows
        path.write_bytes(path.read_bytes().replace(b"\x28\x00\x10\x00US", tag))
    with pytest.warns(UserWarning, match="x1y2"):
        assert image_files(tmp_path / "scan") == sorted(paths)
