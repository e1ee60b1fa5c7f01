# SPDX-License-Identifier: Apache-2.0
"""Tiles cover a picture once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dsfedmed.data.datasets.tiles import tile_boxes


def test_by_hand() -> None:
    assert tile_boxes(1000, 1000, 512) == [
        (0, 0, 500, 500),
        (500, 0, 1000, 500),
        (0, 500, 500, 1000),
        (500, 500, 1000, 1000),
    ]
    assert tile_boxes(512, 300, 512) == [(0, 0, 512, 300)]
    assert tile_boxes(1000, 700, 0) == [(0, 0, 1000, 700)]


@given(st.integers(1, 200), st.integers(1, 200), st.integers(5, 60))
def test_every_pixel_once_and_no_tile_too_large(width: int, height: int, tile: int) -> None:
    seen = np.zeros((height, width), int)
    sizes = set()
    for left, top, right, bottom in tile_boxes(width, height, tile):
        seen[top:bottom, left:right] += 1
        sizes.add((right - left, bottom - top))
    assert (seen == 1).all()
    for sides in zip(*sizes, strict=True):
        assert max(sides) <= tile
        assert max(sides) - min(sides) <= 1
