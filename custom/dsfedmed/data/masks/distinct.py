# SPDX-License-Identifier: Apache-2.0
"""Which numbers occur in a label, and other numbers in their place, without sorting millions of pixels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

COUNTED = 2**16
"""Whole numbers from 0 to below this are counted; others are sorted."""
_BLOCK = 2**22


def distinct(array: np.ndarray) -> np.ndarray:
    """Return the numbers that occur in an array of any shape, each once and in order (as ``np.unique`` does)."""
    if not _is_counted(array):
        return np.unique(array)
    flat, counts = array.ravel(order="K"), np.zeros(COUNTED, dtype=bool)
    for start in range(0, flat.size, _BLOCK):
        found = np.bincount(flat[start : start + _BLOCK])
        counts[: len(found)] |= found > 0
    return np.flatnonzero(counts)


def replaced(array: np.ndarray, targets: Mapping[int, int]) -> np.ndarray:
    """Return the target of each whole number, uint8 in the array's shape; 0 where there is none.

    Args:
        array: whole numbers of any shape.
        targets: numbers from 0 to 255 by stored number.
    """
    if not _is_counted(array):
        result = np.zeros(array.shape, dtype=np.uint8)
        for source, target in targets.items():
            if target:
                result[array == source] = target
        return result
    table = np.zeros(COUNTED, dtype=np.uint8)
    for source, target in targets.items():
        if 0 <= source < COUNTED:
            table[source] = target
    return np.asarray(table[array.view(np.uint8) if array.dtype == np.bool_ else array])


def _is_counted(array: np.ndarray) -> bool:
    if array.dtype.kind not in "bui" or not array.size:
        return False
    return (array.dtype.itemsize == 1 and array.dtype.kind != "i") or bool(array.min() >= 0 and array.max() < COUNTED)
