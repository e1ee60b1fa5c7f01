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
_PIECE = 1 << 20  # bytes that are unpacked at once
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
PIXELS = (b"IDAT", b"fdAT")
"""Chunks of pixels; those of all others Pillow holds against their sums itself."""


@dataclass(frozen=True)
class Chunks:
    """A PNG's header (content of IHDR, empty without one), and whether it has chunks that may turn the picture."""

    header: bytes
    may_be_turned: bool


def look_through(path: Path, sums: bool) -> Chunks:
    """Look at the chunks of a PNG without decoding it.

    A file that ends within its pixels is left to the decoder, which says what is missing.

    Args:
        path: the file.
        sums: hold the chunks of pixels against their check sums (PNG 1.2, 3.4), which Pillow does not.

    Raises:
        DataError: naming the file, when a sum does not fit, or the header promises more rows than the file holds:
            Pillow would fill the rest with black.
    """
    header, turning, packed, name = b"", False, _Unpacked(), b""
    for name, content, told in _chunks(path, sums):
        header = header or content
        turning = turning or name in TURNING
        if sums and name in PIXELS and zlib.crc32(content, zlib.crc32(name)) != told:
            reason = f"it is damaged (the check sum of its {name.decode()} data is wrong)"
            raise DataError(path, reason, "Copy it again or take its item out.")
        if sums and name == b"IDAT":
            packed.take(content)
    if len(header) >= 13:
        rows = _packed_rows(header)
        if rows > DEFLATE_MOST * path.stat().st_size:
            width, height = _size(header)
            reason = f"its header says {width} x {height} pixels, and the file is too short to hold them"
            raise DataError(path, reason, "Replace the file or take its item out.")
        if sums and packed.is_ended and packed.count < rows:
            raise DataError(path, "rows of its pixels are missing", "Copy it again or take its item out.")
    if sums and packed.is_ended and name != b"IEND":
        raise DataError(path, "it is cut: its end mark is missing", "Copy it again or take its item out.")
    return Chunks(header, turning)


class _Unpacked:
    """Counts what packed pixels unfold to, and keeps none of it."""

    def __init__(self) -> None:
        self.count, self.is_ended = 0, False
        self._stream = zlib.decompressobj()

    def take(self, content: bytes) -> None:
        """Take the content of one more chunk; codes that are damaged are left to the decoder, which says so."""
        while content and not self.is_ended:
            try:
                self.count += len(self._stream.decompress(content, _PIECE))
            except zlib.error:
                return
            content, self.is_ended = self._stream.unconsumed_tail, self._stream.eof


def _size(header: bytes) -> tuple[int, int]:
    return int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")


def _packed_rows(header: bytes) -> int:
    """Return the bytes of all rows with their filter marks, those of seven passes where it is interlaced (PNG 2.6)."""
    width, height = _size(header)
    bits = header[8] * SAMPLES.get(header[9], 1)
    passes = _PASSES if header[12] else ((0, 0, 1, 1),)
    count = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        count += rows * (1 + (columns * bits + 7) // 8) if columns > 0 and rows > 0 else 0
    return count


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
