# SPDX-License-Identifier: Apache-2.0
"""Damage behind what would give it away at once: a packed stream is packed again, and check sums are made right.

Without it almost no damage reaches the code behind gzip's and PNG's check sums.
"""

from __future__ import annotations

import copy
import gzip
import json
import random
import zlib
from collections.abc import Callable
from typing import Any

from dsfedmed_benchmarks.fuzz.pictures import PNG_MAGIC, png_chunk

Damage = Callable[[bytes, random.Random], bytes]
JSON_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e308, float("nan"), float("inf"), 2**70, "", "x", "../a.png", "/a.png", "a\0b",
    "a\nb.png", "\ud800", "x" * 5000, [], {}, [[]], [None], ["images/a.png"], [1, 2], {"0": "background"}, {"": {}},
    ["a"] * 40,
)  # fmt: skip


def within_gzip(content: bytes, rng: random.Random, damage: Damage) -> bytes:
    """Damage what is packed."""
    return gzip.compress(damage(gzip.decompress(content), rng), mtime=0)


def within_png(content: bytes, rng: random.Random, damage: Damage) -> bytes:
    """Damage one chunk's content (of IDAT: before it is packed), and make length and check sum right."""
    chunks = png_chunks(content)
    place = rng.randrange(len(chunks) - 1)
    name, inner = chunks[place]
    packed = name == b"IDAT"
    inner = zlib.decompress(inner) if packed else inner
    inner = damage(inner, rng) if inner else b"\0"
    chunks[place] = name, zlib.compress(inner) if packed else inner
    return PNG_MAGIC + b"".join(png_chunk(*chunk) for chunk in chunks)


def png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """Return name and content of each chunk of a valid PNG."""
    chunks, place = [], len(PNG_MAGIC)
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += length + 12
    return chunks


def within_json(content: bytes, rng: random.Random) -> bytes:
    """Put up to three odd values into a JSON document in place of others, or leave entries out."""
    document = json.loads(content)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = _places(document)
        if not places:
            break
        holder, key = rng.choice(places)
        if rng.random() < 0.15:
            del holder[key]
        elif rng.random() < 0.1:
            document = copy.deepcopy(rng.choice(JSON_VALUES))
        else:
            holder[key] = copy.deepcopy(rng.choice(JSON_VALUES))
    return json.dumps(document).encode("utf-8", "surrogatepass")


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every place of a document, as its holder and key."""
    inner: list[tuple[Any, Any]]
    if isinstance(value, dict):
        inner = [(value, key) for key in value]
    elif isinstance(value, list):
        inner = [(value, index) for index in range(len(value))]
    else:
        return []
    return inner + [place for holder, key in inner for place in _places(holder[key])]
