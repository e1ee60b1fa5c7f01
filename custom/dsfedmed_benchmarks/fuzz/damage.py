# SPDX-License-Identifier: Apache-2.0
"""Ways to damage a file's bytes, each drawn from a generator of random numbers and so repeatable."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

HEADER = 1024
"""Bytes in which the headers of the seeds lie."""
WORDS = (b"nan", b"inf", b"-1", b"0", b"99999999", b"1e999", b"-0.0", b"x", b"2147483648", b"\\", b"")
"""What is written over numbers that are text (DICOM's decimal strings, NPY's header, XML of TIFF)."""


def flipped(content: bytes, rng: random.Random) -> bytes:
    """Change 1 to 64 bytes anywhere; fewer are more likely."""
    result = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 8, 16, 64))):
        result[rng.randrange(len(result))] = rng.randrange(256)
    return bytes(result)


def cut(content: bytes, rng: random.Random) -> bytes:
    """End anywhere, at the start as well."""
    return content[: rng.randrange(len(content))]


def number_set(content: bytes, rng: random.Random) -> bytes:
    """Set up to three numbers of the header to zero, all ones, something huge or something small."""
    result = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        size, order = rng.choice((1, 2, 4, 4, 8)), rng.choice(("little", "big"))
        place = rng.randrange(max(1, min(len(result), HEADER) - size))
        top = 2 ** (8 * size)
        values = (0, top - 1, top // 2, top // 2 - 1, rng.randrange(top), rng.randrange(1, 100), top // 65 + 1)
        result[place : place + size] = (rng.choice(values) % top).to_bytes(size, order)  # type: ignore[arg-type]
    return bytes(result)


def text_set(content: bytes, rng: random.Random) -> bytes:
    """Write something else over up to two numbers that are text, at their length."""
    result = bytearray(content)
    found = list(re.finditer(rb"-?\d[\d.]*", content[: 4 * HEADER]))
    for match in rng.sample(found, min(len(found), rng.choice((1, 1, 2)))):
        length = match.end() - match.start()
        result[match.start() : match.end()] = rng.choice(WORDS)[:length].ljust(length, b" ")
    return bytes(result)


def doubled(content: bytes, rng: random.Random) -> bytes:
    """Repeat a piece."""
    start, end = _piece(content, rng)
    return content[:end] + content[start:]


def removed(content: bytes, rng: random.Random) -> bytes:
    """Leave a piece out."""
    start, end = _piece(content, rng)
    return content[:start] + content[end:]


def zeroed(content: bytes, rng: random.Random) -> bytes:
    """Write zeros over a piece, as a disc does that loses a block."""
    start, end = _piece(content, rng)
    return content[:start] + bytes(end - start) + content[end:]


def swapped(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Put another file's first bytes in place of the file's own."""
    other = rng.choice(others)
    length = rng.choice((4, 8, 16, 64, 132, 348, HEADER))
    return other[:length] + content[length:]


DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flipped,
    flipped,
    cut,
    number_set,
    number_set,
    number_set,
    text_set,
    doubled,
    removed,
    zeroed,
)


def _piece(content: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(content))
    return start, min(len(content), start + rng.choice((1, 2, 4, 16, 64, 256, len(content))))
