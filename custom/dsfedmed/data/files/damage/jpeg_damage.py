# SPDX-License-Identifier: Apache-2.0
"""Damage within a JPEG that decoders paint over: they fill what they cannot decode with grey and say nothing.

libjpeg only warns of it, and Pillow keeps the warnings to itself. libjxl's lossless transcoder reads the same codes and
stops at the first that cannot be; it is several times slower than decoding, so that only check-site asks it. Damage
that happens to spell possible codes stays unseen.
"""

from __future__ import annotations

from pathlib import Path

import imagecodecs

from dsfedmed.errors import DataError

MOST_SCANS = 200  # a progressive picture has about ten, and each further one costs as much again as decoding it
MAX_BYTES = 4 * 1024**2  # larger files take seconds; their end mark is looked for all the same
_START, _SCAN, _END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"
_FRAMES = (b"\xff\xc0", b"\xff\xc1", b"\xff\xc2")
"""Baseline, extended and progressive frames in Huffman codes (ITU-T T.81, B.2.2)."""


def check_scans(path: Path) -> None:
    """Refuse a JPEG whose pixels are written over and over: kilobytes that take hours to decode.

    Raises:
        DataError: naming the file.
    """
    count = path.read_bytes().count(_SCAN)
    if count > MOST_SCANS:
        raise DataError(path, f"it is a JPEG of {count} scans (at most {MOST_SCANS})", "Export it again.")


def jpeg_doubt(path: Path) -> str | None:
    """Return why a JPEG's pixels may not be those that were stored; None where nothing speaks against them.

    Args:
        path: any file; one that is no JPEG, or a folder, is not judged.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        if file.read(3) != _START:
            return None
        file.seek(0)
        content = file.read()
    if content.rfind(_END) < content.rfind(_SCAN):
        return "its end is missing: the lower part may not be what was stored"
    if len(content) > MAX_BYTES or _planes(content) not in (1, 3):
        return None
    try:
        imagecodecs.jpegxl_encode_jpeg(content)
    except imagecodecs.JpegxlError:
        return "its codes are damaged within the file: parts of the picture may be made up"
    return None


def _planes(content: bytes) -> int:
    """Return the number of colour planes, 0 where the header is none that is judged."""
    at = 2
    while at + 10 < len(content) and content[at] == 0xFF:
        if content[at : at + 2] in _FRAMES:
            return content[at + 9]
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return 0
