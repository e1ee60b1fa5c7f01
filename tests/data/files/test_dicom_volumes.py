# SPDX-License-Identifier: Apache-2.0
"""DICOM volumes by PS3.3: series of slices and segmentations, put in order of their positions or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from dsfedmed.data.files.read import place_of, probe, read_raw
from dsfedmed.data.files.values import scaled, windows
from dsfedmed.errors import DataError
from tests.data.files.making import dicom, segmentation, series, shape_of

GREY = shape_of()


def test_a_series_is_a_volume_in_order_of_position(tmp_path: Path) -> None:
    volume = np.stack([shape_of(seed) for seed in range(4)])
    series(tmp_path / "ct", volume)
    raw = read_raw(tmp_path / "ct")
    assert raw.volume
    assert probe(tmp_path / "ct").slices == 4
    # DICOM runs to the left and back, the standard orientation to the right and front
    np.testing.assert_array_equal(raw.array[::-1, ::-1, :, 0].transpose(2, 1, 0), volume)
    assert raw.spacing == pytest.approx((0.7, 0.5, 3.0))
    np.testing.assert_allclose(raw.affine @ [0, 0, 0, 1], [10 - 19 * 0.7, 20 - 11 * 0.5, 5, 1])


def test_a_series_with_a_gap_a_second_series_or_a_place_taken_twice_is_refused(tmp_path: Path) -> None:
    volume = np.stack([shape_of(seed) for seed in range(5)])
    paths = series(tmp_path / "gap", volume)
    paths[2].unlink()
    with pytest.raises(DataError, match=r"IM0096: between IM0098 and it lie 6 mm, elsewhere 3 mm"):
        read_raw(tmp_path / "gap")
    series(tmp_path / "two", volume)
    dicom(tmp_path / "two" / "other", GREY, SeriesInstanceUID=generate_uid())
    with pytest.raises(DataError, match=r"two: it holds 2 series \(5, 1 files\)"):
        read_raw(tmp_path / "two")
    again = series(tmp_path / "twice", volume)
    (tmp_path / "twice" / "copy").write_bytes(again[0].read_bytes())
    with pytest.raises(DataError, match="is at the position of"):
        read_raw(tmp_path / "twice")
    mixed = series(tmp_path / "mixed", volume)
    data = pydicom.dcmread(mixed[1])
    data.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    data.save_as(mixed[1])
    with pytest.raises(DataError, match="localisers"):
        read_raw(tmp_path / "mixed")


def test_a_segmentation_is_put_together_by_position_and_segment(tmp_path: Path) -> None:
    first, second = GREY > 128, GREY > 200
    frames = np.stack([first, second, first])
    segmentation(tmp_path / "seg.dcm", frames, [1, 2, 1], [8.0, 8.0, 5.0])
    raw = read_raw(tmp_path / "seg.dcm", label=True)
    expected = np.stack([first.astype(int), np.where(second, 2, first)])
    np.testing.assert_array_equal(raw.array[::-1, ::-1, :, 0].transpose(2, 1, 0), expected)
    assert raw.frame is not None


def test_the_header_of_a_segmentation_tells_slices_and_place(tmp_path: Path) -> None:
    """Frames that share a place are one slice, and slices that were left out count."""
    first, second = GREY > 128, GREY > 200
    segmentation(tmp_path / "seg.dcm", np.stack([first, second, first, first]), [1, 2, 1, 1], [8.0, 8.0, 5.0, 17.0])
    raw, place = read_raw(tmp_path / "seg.dcm", label=True), place_of(tmp_path / "seg.dcm")
    assert probe(tmp_path / "seg.dcm").slices == raw.slices == 5
    np.testing.assert_array_equal(raw.array[::-1, ::-1, :, 0].transpose(2, 1, 0)[4], first)
    assert not raw.array[:, :, 2:4].any()
    assert place is not None
    assert place.frame is not None
    np.testing.assert_allclose(place.affine, raw.affine)
    np.testing.assert_allclose(np.sqrt((raw.affine[:3, 2] ** 2).sum()), 3.0)


@pytest.mark.parametrize(
    ("heights", "words"), [([5.0, 8.0, 12.2], "uneven distances"), ([0.0, 0.001, 9e9], "GiB when decoded")]
)
def test_places_of_a_segmentation_that_make_no_stack_are_refused(
    tmp_path: Path, heights: list[float], words: str
) -> None:
    segmentation(tmp_path / "seg.dcm", np.stack([GREY > 128] * 3), [1, 1, 1], heights)
    for read in (probe, read_raw):
        with pytest.raises(DataError, match=words):
            read(tmp_path / "seg.dcm")


def slices_in(folder: Path) -> None:
    """Three slices of one series, 3 mm apart."""
    folder.mkdir()
    uid = generate_uid()
    for number in range(3):
        where = {"ImagePositionPatient": [0, 0, 3 * number], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
        dicom(folder / f"{number}.dcm", shape_of(number), SeriesInstanceUID=uid, PixelSpacing=[1, 1], **where)


@pytest.mark.parametrize("name", ["3.dcm", "3"])
def test_an_empty_file_in_a_series_is_a_slice_that_was_lost(tmp_path: Path, name: str) -> None:
    slices_in(tmp_path / "s")
    (tmp_path / "s" / name).write_bytes(b"")
    with pytest.raises(DataError, match=rf"s/{name}: (the file is empty|it is called DICOM)"):
        read_raw(tmp_path / "s")


def test_a_broken_file_called_dicom_in_a_series_is_refused(tmp_path: Path) -> None:
    slices_in(tmp_path / "s")
    (tmp_path / "s/3.dcm").write_bytes(b"not found")
    with pytest.raises(DataError, match=r"s/3\.dcm: it is called DICOM"):
        read_raw(tmp_path / "s")


def test_other_files_in_a_series_are_counted(tmp_path: Path) -> None:
    slices_in(tmp_path / "s")
    (tmp_path / "s/readme.txt").write_text("of the scanner")
    raw = read_raw(tmp_path / "s")
    assert raw.slices == 3
    assert raw.notes == ("1 files in it are no DICOM and are left out (readme.txt)",)


def test_a_series_whose_low_values_are_white_is_turned_as_a_whole(tmp_path: Path) -> None:
    volume = np.stack([shape_of(seed) for seed in range(3)]).astype(np.uint16) * 9
    series(tmp_path / "black", volume)
    series(tmp_path / "white", (volume.max() - volume).astype(np.uint16), PhotometricInterpretation="MONOCHROME1")
    black, white = (read_raw(tmp_path / name) for name in ("black", "white"))
    difference = scaled(white.array, windows(white)) - scaled(black.array, windows(black))
    assert np.abs(difference).max() < 1e-5
