# SPDX-License-Identifier: Apache-2.0
"""TIFF and GIF files that end before their last page or frame; their decoders give what is left without a word."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from tifffile import TiffFile, TiffPageSeries

from dsfedmed.errors import DataError

FIX = "Copy it again from its source, or take its item out."
MOST_PAGES = 10_000_000


def check_whole_tiff(path: Path, tiff: TiffFile, series: TiffPageSeries) -> None:
    """Refuse a TIFF whose chain of pages, or a strip or tile of ``series``, leads behind its end.

    Raises:
        DataError: naming the file.
    """
    size = int(tiff.filehandle.size)
    for page in series.pages:
        if page is None:
            continue
        for start, length in zip(page.dataoffsets, page.databytecounts, strict=False):
            if start + length > size:
                raise DataError(path, "it is cut: part of its pixels is missing", FIX)
    with path.open("rb") as file:
        if _chain_breaks(file, size):
            raise DataError(path, "it is cut: pages behind its end are named", FIX)


def check_whole_gif(path: Path) -> None:
    """Refuse a GIF without its end mark (GIF89a, 27): further frames may be missing.

    Raises:
        DataError: naming the file.
    """
    with path.open("rb") as file:
        flags = file.read(13)[10]
        file.seek(13 + _table_bytes(flags))
        while (mark := file.read(1)) != b";":
            if mark == b"!":
                file.seek(1, os.SEEK_CUR)
            elif mark == b",":
                flags = (file.read(9) or b"\0")[-1]
                file.seek(_table_bytes(flags) + 1, os.SEEK_CUR)
            else:
                raise DataError(path, "it is cut: its end mark is missing", FIX)
            while length := file.read(1):
                if length == b"\0":
                    break
                file.seek(length[0], os.SEEK_CUR)


def _table_bytes(flags: int) -> int:
    """Bytes of the colour table that a descriptor's flags announce (GIF89a, 18 and 20)."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 128 else 0


def _chain_breaks(file: BinaryIO, size: int) -> bool:
    """Follow the chain of pages (TIFF 6.0, section 2; BigTIFF has wider numbers) up to its end."""
    order = "<" if file.read(2) == b"II" else ">"
    big = struct.unpack(order + "H", file.read(2))[0] == 43
    count_form, offset_form, entry = ("Q", "Q", 20) if big else ("H", "I", 12)
    file.seek(8 if big else 4)
    width = struct.calcsize(order + offset_form)
    (place,) = struct.unpack(order + offset_form, file.read(width))
    seen: set[int] = set()
    while place and place not in seen and len(seen) < MOST_PAGES:
        seen.add(place)
        file.seek(place)
        head = file.read(struct.calcsize(order + count_form))
        if len(head) < struct.calcsize(order + count_form):
            return True
        file.seek(struct.unpack(order + count_form, head)[0] * entry, os.SEEK_CUR)
        following = file.read(width)
        if len(following) < width:
            return True
        (place,) = struct.unpack(order + offset_form, following)
        if place >= size:
            return True
    return False
