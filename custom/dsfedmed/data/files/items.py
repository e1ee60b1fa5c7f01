# SPDX-License-Identifier: Apache-2.0
"""The images that lie in a folder without a datalist: files, and folders that hold one DICOM series each."""

from __future__ import annotations

import logging
from pathlib import Path

import pydicom

from dsfedmed.data.files.kinds import Kind, kind_of
from dsfedmed.data.files.listing import list_images
from dsfedmed.errors import DataError

LOG = logging.getLogger(__name__)


def image_files(folder: Path) -> list[Path]:
    """Return the images of a folder, and its sub-folders that hold DICOM; what is left out is logged with its count.

    Raises:
        DataError: no such folder, or slices of one series that lie beside other files (they would be taken singly).
    """
    if not folder.is_dir():
        raise DataError(folder, "the folder is missing", "Name the right folder.")
    found = list_images(folder)
    series = [path for path in sorted(folder.iterdir()) if path.is_dir() and _holds_dicom(path)]
    if found.left_out:
        names = ", ".join(path.name for path in found.left_out[:3])
        LOG.warning("%s: %d files are no images and are left out (%s)", folder, len(found.left_out), names)
    if _is_series(found.images):
        return [folder]
    return [*found.images, *series]


def _holds_dicom(folder: Path) -> bool:
    files = list_images(folder).images
    return bool(files) and kind_of(files[0]) is Kind.DICOM


def _is_series(files: tuple[Path, ...]) -> bool:
    """Tell files that are all slices of one series: one series number, each at a place of its own."""
    if len(files) < 2 or any(kind_of(path) is not Kind.DICOM for path in files):
        return False
    series, places = set(), set()
    for path in files:
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        series.add(str(header.get("SeriesInstanceUID", "")))
        places.add(str(header.get("ImagePositionPatient", "")))
        if int(header.get("NumberOfFrames", 1) or 1) > 1 or len(series) > 1:
            return False
    return series != {""} and len(places) == len(files) and "" not in places
