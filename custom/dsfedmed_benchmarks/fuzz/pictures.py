# SPDX-License-Identifier: Apache-2.0
"""Valid PNG, JPEG, BMP and GIF files."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from dsfedmed_benchmarks.fuzz.seed import Seed, colours, one_file, pattern

ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""Passes of an interlaced PNG (PNG 1.2, 8.2): first row, first column, step of rows, step of columns."""
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def picture_seeds() -> list[Seed]:
    """Return the seeds of the four formats."""
    grey, rgb = pattern(), colours()
    palette = Image.fromarray(rgb).quantize(8)
    alpha = np.dstack([rgb, np.where(grey > 200, 255, 0).astype(np.uint8)])
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [Image.fromarray(pattern(seed=number)) for number in range(3)]
    png = {
        "grey": _saved(Image.fromarray(grey), "PNG"),
        "rgb": _saved(Image.fromarray(rgb), "PNG", exif=exif),
        "rgba": _saved(Image.fromarray(alpha), "PNG"),
        "palette": _saved(palette, "PNG", transparency=0),
        "16bit": _saved(Image.fromarray(grey.astype(np.uint16) * 257), "PNG"),
        "1bit": _saved(Image.fromarray(grey > 200), "PNG"),
        "interlaced": interlaced(grey),
    }
    jpeg = {
        "exif": _saved(Image.fromarray(rgb), "JPEG", exif=exif),
        "progressive": _saved(Image.fromarray(grey), "JPEG", progressive=True),
        "cmyk": _saved(Image.fromarray(rgb).convert("CMYK"), "JPEG"),
    }
    bmp = {"rgb": _saved(Image.fromarray(rgb), "BMP"), "1bit": _saved(Image.fromarray(grey > 200), "BMP")}
    gif = {
        "still": _saved(palette, "GIF"),
        "animated": _saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50),
    }
    groups = (("PNG", png), ("JPEG", jpeg), ("BMP", bmp), ("GIF", gif))
    return [
        one_file(f"{kind.lower()}-{name}", kind, f".{kind.lower()}", content)
        for kind, files in groups
        for name, content in files.items()
    ]


def interlaced(grey: np.ndarray) -> bytes:
    """Return (rows, columns) uint8 as an interlaced PNG, which Pillow reads and does not write."""
    lines = b""
    for row, column, down, right in ADAM7:
        lines += b"".join(b"\0" + line.tobytes() for line in grey[row::down, column::right])
    header = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 8, 0, 0, 0, 1)
    return PNG_MAGIC + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(lines)) + png_chunk(b"IEND", b"")


def png_chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk with its length and check sum (PNG 1.2, 3.2)."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()
