# SPDX-License-Identifier: Apache-2.0
"""Decoded planes (X, Y, [Z,] C) turned upright and made smaller, where no decoder does it."""

from __future__ import annotations

import numpy as np

TURNED_SIDES = (5, 6, 7, 8)
"""Orientations that swap width and height."""
_TURNS: dict[int, tuple[int, bool, bool]] = {  # TIFF 6.0 and EXIF tag 274: swap x and y, then flip x, flip y
    1: (0, False, False),
    2: (0, True, False),
    3: (0, True, True),
    4: (0, False, True),
    5: (1, False, False),
    6: (1, True, False),
    7: (1, True, True),
    8: (1, False, True),
}


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Return planes (X, Y, ...) turned by an orientation tag; one that the standards do not know changes nothing."""
    swap, flip_x, flip_y = _TURNS.get(orientation, _TURNS[1])
    array = array.swapaxes(0, 1) if swap else array
    array = array[::-1] if flip_x else array
    return array[:, ::-1] if flip_y else array


def in_blocks(array: np.ndarray, factor: int, label: bool) -> np.ndarray:
    """Divide both sides of (X, Y, C): middles of blocks for labels, else means, row of blocks after row of blocks."""
    if abs(array.strides[0]) < abs(array.strides[1]):  # decoders give rows: along them memory is read in one go
        return in_blocks(array.swapaxes(0, 1), factor, label).swapaxes(0, 1)
    width, height = (-(-side // factor) for side in array.shape[:2])
    if label or array.dtype == np.bool_:
        rows, columns = (
            np.minimum(np.arange(count) * factor + factor // 2, side - 1)
            for count, side in zip((width, height), array.shape[:2], strict=True)
        )
        return np.asarray(array[rows][:, columns])
    result = np.empty((width, height, array.shape[2]), dtype=np.float32)
    for row in range(width):
        strip = array[row * factor : (row + 1) * factor].astype(np.float32).mean(axis=0)
        edges = np.arange(height) * factor
        counts = np.diff(np.append(edges, array.shape[1])).astype(np.float32)
        result[row] = np.add.reduceat(strip, edges, axis=0) / counts[:, None]
    return np.rint(result).astype(array.dtype) if array.dtype.kind in "ui" else result.astype(array.dtype)
