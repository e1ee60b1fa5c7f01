# SPDX-License-Identifier: Apache-2.0
"""What Pillow leaves out of a PNG: the check sums of its pixels, and the lower eight bits of planes of sixteen."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np

from dsfedmed.errors import DataError

SIGNATURE = 8  # bytes
PIXELS = (b"IDAT", b"fdAT")
"""Chunks of pixels; those of all others Pillow holds against their sums itself."""


def check_chunks(path: Path) -> bytes:
    """Hold the chunks of pixels against their check sums (PNG 1.2, 3.4), and return the header chunk's content.

    A file that ends early is left to the decoder, which says what is missing.

    Raises:
        DataError: naming the file, when a sum does not fit.
    """
    header = b""
    for name, content, told in _chunks(path):
        header = header or content
        if name in PIXELS and zlib.crc32(content, zlib.crc32(name)) != told:
            reason = f"it is damaged (the check sum of its {name.decode()} data is wrong)"
            raise DataError(path, reason, "Copy it again or take its item out.")
    return header


def has_deep_planes(header: bytes) -> bool:
    """Tell a PNG of 16 bits with more than one plane: grey with opacity, or colours."""
    return header[8:9] == b"\x10" and header[9:10] in (b"\x02", b"\x04", b"\x06")


def grey_bits(header: bytes) -> int:
    """Return the bits of a grey PNG's numbers where they are 2 or 4 (PNG 1.2, 11.2.2); 8 for everything else."""
    return header[8] if len(header) > 9 and header[9] == 0 and header[8] in (2, 4) else 8


def read_deep_planes(path: Path) -> np.ndarray:
    """Return (rows, columns, C) uint16 of such a PNG, opacity last."""
    return np.asarray(imagecodecs.png_decode(path.read_bytes()))


def _chunks(path: Path) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield name, content and check sum of every whole chunk up to the end mark."""
    with path.open("rb") as file:
        file.seek(SIGNATURE)
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[:4], "big")
            content, told = file.read(length), file.read(4)
            if len(content) < length or len(told) < 4:
                return
            yield head[4:], content, int.from_bytes(told, "big")
            if head[4:] == b"IEND":
                return
