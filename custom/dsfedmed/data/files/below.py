# SPDX-License-Identifier: Apache-2.0
"""All images below a folder, where a folder that holds one DICOM series is one image."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from dsfedmed.data.files.dicom.reading import read_dataset
from dsfedmed.data.files.kinds import Kind, kind_of
from dsfedmed.data.files.listing import Listing, list_images

TAGS = ["SeriesInstanceUID", "ImagePositionPatient", "NumberOfFrames"]


@dataclass(frozen=True)
class Below:
    """The images in order of folders and names, and how many other files there are."""

    images: tuple[Path, ...]
    left_out: int


def images_below(folder: Path, but_not: Path | None = None) -> Below:
    """Return the images of a folder and of its sub-folders; hidden ones are passed over, links followed once.

    DICOM files that lie in one folder and are slices of one series are one image: their folder. Where a folder holds
    slices of several series, the folder is returned too, so that its reader says what to do; slices are never taken
    one by one.

    Args:
        folder: to be searched.
        but_not: a folder below it that is not looked at.

    Raises:
        OSError: a folder that may not be read; its images would be missing without a word.
    """
    images: list[Path] = []
    left_out, seen = 0, set()
    barred = os.path.realpath(but_not) if but_not is not None else None
    for place, folders, _ in os.walk(folder, followlinks=True, onerror=_raise):
        real = os.path.realpath(place)
        if real in seen or real == barred:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        listing = list_images(Path(place))
        left_out += len(listing.left_out)
        images += _images_of(Path(place), listing)
    return Below(tuple(images), left_out)


def _raise(error: OSError) -> NoReturn:
    raise error


def is_series_folder(folder: Path) -> bool:
    """Tell a folder whose images are all slices of one DICOM series."""
    listing = list_images(folder)
    return bool(listing.images) and _images_of(folder, listing) == [folder]


def _images_of(place: Path, listing: Listing) -> list[Path]:
    slices = _slices([path for path in listing.images if _is_dicom(path)])
    if not slices:
        return list(listing.images)
    return [place, *(path for path in listing.images if path not in slices)]


def _slices(files: list[Path]) -> set[Path]:
    """Return the files of those series that have several, each at a place of its own; a clip is no slice."""
    series: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    for path in files:
        try:
            header = read_dataset(path, header_only=True, tags=TAGS)
            several = int(header.get("NumberOfFrames", 1) or 1) > 1
        except Exception:  # a damaged header raises whatever it likes; reading the file itself says what is wrong
            continue
        at = str(header.get("ImagePositionPatient", "") or "")
        if at and not several and header.get("SeriesInstanceUID"):
            series[str(header.SeriesInstanceUID)].append((at, path))
    found: set[Path] = set()
    for members in series.values():
        if len({at for at, _ in members}) > 1:
            found |= {path for _, path in members}
    return found


def _is_dicom(path: Path) -> bool:
    try:
        return kind_of(path) is Kind.DICOM
    except OSError:
        return False
