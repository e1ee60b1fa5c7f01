# SPDX-License-Identifier: Apache-2.0
"""Which files of a folder are images, and which are left out."""

from __future__ import annotations

import logging
import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from dsfedmed.data.files.dicom.reading import read_dataset
from dsfedmed.data.files.kinds import Kind, kind_of, suffix_of
from dsfedmed.errors import DataError

LOG = logging.getLogger(__name__)
# Written by operating systems beside the files people mean; the directory of a DICOM disc shows no picture.
_BY_SYSTEMS = frozenset({"thumbs.db", "desktop.ini", "dicomdir", "icon\r", "datalist.json"})


@dataclass(frozen=True)
class Listing:
    """The images of a folder in order of names, and the files that are none."""

    images: tuple[Path, ...]
    left_out: tuple[Path, ...]


def list_images(folder: Path, deep: bool = False) -> Listing:
    """Return the image files of a folder; told by suffix, or by content where the name has no known suffix.

    Hidden files and what operating systems write (``._a.png``, ``.DS_Store``, ``Thumbs.db``) are passed over.

    Args:
        folder: to be searched.
        deep: with its sub-folders; symbolic links to folders are followed, each folder once.
    """
    images, left_out = [], []
    for path in sorted(_walk(folder) if deep else (path for path in folder.iterdir() if path.is_file())):
        if path.name.startswith(".") or path.name.lower() in _BY_SYSTEMS:
            continue
        if suffix_of(path) or _is_image(path):
            images.append(path)
        elif not (path.suffix.lower() == ".img" and path.with_suffix(".hdr").exists()):
            left_out.append(path)
    return Listing(tuple(images), tuple(left_out))


def composed(name: str) -> str:
    """Return a name with its umlauts and accents in one form (NFC): systems write them in two."""
    return unicodedata.normalize("NFC", name)


def found_as(path: Path) -> Path:
    """Return a path as the disc has it, where it differs in the form of accents alone; else the path itself."""
    if path.exists() or not path.name:
        return path
    parent = found_as(path.parent)
    if not parent.is_dir():
        return path
    wanted = composed(path.name)
    for entry in parent.iterdir():
        if composed(entry.name) == wanted:
            return entry
    return parent / path.name


def _walk(folder: Path) -> list[Path]:
    found, seen = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        found += [Path(place) / name for name in names]
    return found


def _is_image(path: Path) -> bool:
    try:
        return path.is_file() and kind_of(path) is not None
    except OSError:
        return False


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
        try:
            header = read_dataset(path, header_only=True)
            series.add(str(header.get("SeriesInstanceUID", "")))
            places.add(str(header.get("ImagePositionPatient", "")))
            several = int(header.get("NumberOfFrames", 1) or 1) > 1
        except Exception:  # a damaged header raises whatever it likes; reading the file itself says what is wrong
            return False
        if several or len(series) > 1:
            return False
    return series != {""} and len(places) == len(files) and "" not in places
