# SPDX-License-Identifier: Apache-2.0
"""Which numbers occur in a label, and other numbers in their place, without sorting millions of pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

COUNTED = 2**16
"""Whole numbers from 0 to below this are counted; others are sorted."""
FEW = 6
_BLOCK = 2**22


def distinct(array: np.ndarray) -> np.ndarray:
    """Return the numbers that occur in an array of any shape, each once and in order (as ``np.unique`` does)."""
    if array.dtype == np.bool_:
        return np.array([value for value, there in ((0, not array.all()), (1, array.any())) if there], dtype=np.int64)
    if not _is_counted(array):
        return np.unique(array)
    if array.dtype == np.uint8 and (few := _few(array.tobytes("A"))) is not None:
        return few
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
    if array.dtype == np.bool_:  # bytes of Pillow's bits are 255, so that they are no numbers for a table
        return np.where(array, np.uint8(targets.get(1, 0)), np.uint8(targets.get(0, 0)))
    if not _is_counted(array):
        result = np.zeros(array.shape, dtype=np.uint8)
        for source, target in targets.items():
            if target:
                result[array == source] = target
        return result
    if array.dtype == np.uint8:
        table_of_bytes = bytearray(256)
        for source, target in targets.items():
            if 0 <= source < 256:
                table_of_bytes[source] = target
        order: Literal["F", "C"] = "F" if array.flags.f_contiguous else "C"  # as tobytes("A") has them
        content = bytearray(array.tobytes("A").translate(table_of_bytes))  # of its own, to be written to
        return np.frombuffer(content, np.uint8).reshape(array.shape, order=order)
    table = np.zeros(COUNTED, dtype=np.uint8)
    for source, target in targets.items():
        if 0 <= source < COUNTED:
            table[source] = target
    return np.asarray(table[array])


def _few(content: bytes) -> np.ndarray | None:
    """Return the numbers of a mask by striking them out one after the other; None where they are many."""
    found: list[int] = []
    while content:
        if len(found) == FEW:
            return None
        found.append(content[0])
        content = content.translate(None, content[:1])
    return np.array(sorted(found), dtype=np.int64)


def _is_counted(array: np.ndarray) -> bool:
    if array.dtype.kind not in "ui" or not array.size:
        return False
    return (array.dtype.itemsize == 1 and array.dtype.kind != "i") or bool(array.min() >= 0 and array.max() < COUNTED)
