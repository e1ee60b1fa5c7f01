# SPDX-License-Identifier: Apache-2.0
"""What Pillow leaves out of a PNG: the check sums of its pixels, and the lower eight bits of planes of sixteen."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np

from dsfedmed.errors import DataError

SIGNATURE = 8  # bytes
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # numbers a pixel by colour type (PNG 1.2, 4.1.1)
DEFLATE_MOST = 1032  # bytes that one packed byte can stand for (RFC 1951: 258 from two bits)
TURNING = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")  # EXIF, also as a raw profile, and XMP
PIXELS = (b"IDAT", b"fdAT")
"""Chunks of pixels; those of all others Pillow holds against their sums itself."""


@dataclass(frozen=True)
class Chunks:
    """A PNG's header (content of IHDR, empty without one), and whether it has chunks that may turn the picture."""

    header: bytes
    may_be_turned: bool


def look_through(path: Path, sums: bool) -> Chunks:
    """Look at the chunks of a PNG without decoding it.

    A file that ends early is left to the decoder, which says what is missing.

    Args:
        path: the file.
        sums: hold the chunks of pixels against their check sums (PNG 1.2, 3.4), which Pillow does not.

    Raises:
        DataError: naming the file, when a sum does not fit, or the header promises more than the file can hold: Pillow
            would fill the rest with black.
    """
    header, turning = b"", False
    for name, content, told in _chunks(path, sums):
        header = header or content
        turning = turning or name in TURNING
        if sums and name in PIXELS and zlib.crc32(content, zlib.crc32(name)) != told:
            reason = f"it is damaged (the check sum of its {name.decode()} data is wrong)"
            raise DataError(path, reason, "Copy it again or take its item out.")
    if len(header) >= 10:
        width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
        row = width * header[8] * SAMPLES.get(header[9], 1) // 8
        if height * row > DEFLATE_MOST * path.stat().st_size:
            reason = f"its header says {width} x {height} pixels, and the file is too short to hold them"
            raise DataError(path, reason, "Replace the file or take its item out.")
    return Chunks(header, turning)


def has_deep_planes(header: bytes) -> bool:
    """Tell a PNG of 16 bits with more than one plane: grey with opacity, or colours."""
    return header[8:9] == b"\x10" and header[9:10] in (b"\x02", b"\x04", b"\x06")


def grey_bits(header: bytes) -> int:
    """Return the bits of a grey PNG's numbers where they are 2 or 4 (PNG 1.2, 11.2.2); 8 for everything else."""
    return header[8] if len(header) > 9 and header[9] == 0 and header[8] in (2, 4) else 8


def read_deep_planes(path: Path) -> np.ndarray:
    """Return (rows, columns, C) uint16 of such a PNG, opacity last."""
    return np.asarray(imagecodecs.png_decode(path.read_bytes()))


def _chunks(path: Path, pixels: bool) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield name, content (of pixels only where they are asked for) and check sum of every whole chunk."""
    with path.open("rb") as file:
        file.seek(SIGNATURE)
        while len(head := file.read(8)) == 8:
            name, length = head[4:], int.from_bytes(head[:4], "big")
            if name in PIXELS and not pixels:
                file.seek(length, os.SEEK_CUR)
                content = b""
            else:
                content = file.read(length)
            told = file.read(4)
            if (content and len(content) < length) or len(told) < 4:
                return
            yield name, content, int.from_bytes(told, "big")
            if name == b"IEND":
                return
