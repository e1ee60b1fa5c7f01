# SPDX-License-Identifier: Apache-2.0
"""Which files of a folder are images, and which are left out."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from dsfedmed.data.files.kinds import kind_of, suffix_of

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
