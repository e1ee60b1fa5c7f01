# SPDX-License-Identifier: Apache-2.0
"""Cutting a large picture into equal tiles."""

from __future__ import annotations

import math
from itertools import pairwise

Box = tuple[int, int, int, int]


def tile_boxes(width: int, height: int, tile_px: int) -> list[Box]:
    """Return (left, top, right, bottom) of tiles that cover a picture without overlap, row by row.

    Each side is cut into the fewest parts that are at most ``tile_px``; parts differ by one pixel at most. 0 returns
    the whole picture.
    """
    columns, rows = _edges(width, tile_px), _edges(height, tile_px)
    return [(left, top, right, bottom) for top, bottom in pairwise(rows) for left, right in pairwise(columns)]


def _edges(length: int, tile_px: int) -> list[int]:
    parts = math.ceil(length / tile_px) if tile_px else 1
    return [length * part // parts for part in range(parts + 1)]
