# SPDX-License-Identifier: Apache-2.0
"""The PNG that most sites have, grey or RGB in 8 bits and nothing else, decoded from its bytes in one step.

Whatever is not plain, or not whole, is left to `pictures`, which knows every kind and says what is wrong.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import imagecodecs
import numpy as np

from dsfedmed.data.files.damage.png_chunks import DEFLATE_MOST, SIGNATURE
from dsfedmed.data.files.limits import check_pixels, reduction
from dsfedmed.data.files.raw import Raw

MOST_BYTES = 64 * 1024**2  # of a file that is read at once: 16 million pixels in RGB have less
_PLANES = {b"\x08\x00\x00\x00\x00": 1, b"\x08\x02\x00\x00\x00": 3}  # 8 bits grey or RGB, not interlaced
_SILENT = frozenset({b"IHDR", b"IDAT", b"IEND", b"pHYs", b"gAMA", b"sRGB", b"cHRM", b"tIME", b"iCCP"})
"""Chunks that change neither numbers nor sides of the picture as it is read (PNG 1.2, 4.2)."""
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_TELLING = (b"exif", b"xmp", b"app1")
"""Parts of the names of texts that may hold an orientation."""


def read_plain_png(path: Path, content: bytes) -> Raw | None:
    """Return a plain picture, the numbers that `pictures.read_picture` gives; None of one that is not plain or whole.

    Args:
        path: where it lies.
        content: the whole file.

    Raises:
        DataError: naming the file, when it has too many pixels.
    """
    planes = _PLANES.get(content[24:29])
    if planes is None or content[12:16] != b"IHDR" or not _is_silent_and_whole(content):
        return None
    width, height = int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    check_pixels(path, (width, height))
    if reduction((width, height)) > 1 or width * height * planes > DEFLATE_MOST * len(content):
        return None
    try:
        array = imagecodecs.png_decode(content)
    except (imagecodecs.PngError, ValueError):
        return None
    if array.shape != ((height, width) if planes == 1 else (height, width, planes)) or array.dtype != np.uint8:
        return None
    return Raw(path, array.reshape(height, width, planes).swapaxes(0, 1), np.eye(4), volume=False)


def _is_silent_and_whole(content: bytes) -> bool:
    """Whether every chunk is one of ``_SILENT`` with a check sum that fits, up to the end mark."""
    view, at = memoryview(content), SIGNATURE
    while at + 12 <= len(content):
        name, end = content[at + 4 : at + 8], at + 8 + int.from_bytes(content[at : at + 4], "big")
        told = content[end : end + 4]
        silent = name in _SILENT or (name in _TEXTS and not _may_turn(content[at + 8 : end]))
        if not silent or len(told) < 4 or zlib.crc32(view[at + 4 : end]) != int.from_bytes(told, "big"):
            return False
        if name == b"IEND":
            return True
        at = end + 4
    return False


def _may_turn(text: bytes) -> bool:
    name = text[:80].split(b"\0")[0].lower()  # PNG 1.2, 4.2.3: a name of at most 79 bytes
    return any(part in name for part in _TELLING)
