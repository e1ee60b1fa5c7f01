# SPDX-License-Identifier: Apache-2.0
"""Which kind of mask a label file seems to be; for people, never to decide by."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label as components

from dsfedmed.data.files.raw import Raw
from dsfedmed.data.masks.distinct import distinct

AT_ENDS = 0.8  # share of pixels near black or white from which many values are soft edges
NEAR = 0.15  # of the range
SHOWN = 6


def describe(raw: Raw) -> str:
    """Return the kind in words, with what was counted."""
    array = raw.array
    if raw.alpha is not None:
        return "a mask in its transparency"
    if raw.palette is not None:
        used = distinct(array)
        return f"palette indices {_listed(used)}"
    if array.shape[-1] > 1:
        if one_hot(array):
            return f"one-hot planes ({array.shape[-1]})"
        if (array == array[..., :1]).all():
            array = array[..., :1]
        else:
            found = _colours(array)
            return f"colour-coded classes ({found})" if found else f"{array.shape[-1]} planes"
    values = distinct(array)
    if len(values) == 1:
        return "empty" if values[0] == 0 else f"one value everywhere ({values[0]:g})"
    if len(values) == 2:
        return f"two-valued ({values[0]:g} and {values[1]:g})"
    if soft(array):
        return f"soft edges or JPEG ({len(values)} values, {100 * share_at_ends(array):.0f} % near the two ends)"
    if instances(array[..., 0], values):
        return f"instance numbers (1..{values[-1]:g}, each one piece)"
    return f"values {_listed(values)}"


def one_hot(array: np.ndarray) -> bool:
    """Tell planes (..., C) of which exactly one is on at every pixel."""
    if array.shape[-1] < 2:
        return False
    top = array.max()
    binary = bool(top > 0) and bool(((array == 0) | (array == top)).all())
    return binary and bool(((array == top).sum(axis=-1) == 1).all())


def ends(array: np.ndarray) -> tuple[float, float]:
    """Return what black and white are: 0 and 255 of eight bits, else the smallest and the largest number."""
    if array.dtype == np.uint8:
        return 0.0, 255.0
    return float(array.min(initial=0)), float(array.max(initial=1))


def share_at_ends(array: np.ndarray) -> float:
    """Return the share of pixels near either end."""
    low, high = ends(array)
    near = NEAR * (high - low)
    return float(((array <= low + near) | (array >= high - near)).mean())


def soft(array: np.ndarray) -> bool:
    """Tell a plane of black and white with some grey between them."""
    low, high = ends(array)
    values = distinct(array)
    if len(values) < 3 or values[-1] < high - NEAR * (high - low) or (high <= 1.5 and array.dtype.kind != "f"):
        return False
    between = ((values > low) & (values < high)).sum()
    return bool(between >= 8) and share_at_ends(array) >= AT_ENDS


def instances(plane: np.ndarray, values: np.ndarray) -> bool:
    """Tell a plane whose numbers above 0 each cover one piece, with more than three of them."""
    numbers = [int(value) for value in values if value > 0]
    if len(numbers) < 4 or plane.dtype.kind not in "ui":
        return False
    single = sum(int(components(plane == number)[1]) == 1 for number in numbers[:64])
    return single >= 0.9 * min(len(numbers), 64)


def coloured(raw: Raw) -> np.ndarray | None:
    """Return a label's colours (..., 3), from its palette or its three planes; greys count as colours."""
    if raw.palette is not None:
        return np.asarray(np.asarray(raw.palette)[raw.array[..., 0]])
    if raw.channels == 3:
        return raw.array
    return np.repeat(raw.array, 3, axis=-1) if raw.channels == 1 else None


def colour_counts(array: np.ndarray) -> dict[str, int]:
    """Return how many pixels have each colour of (..., 3) uint8, most first."""
    code = array.reshape(-1, 3).astype(np.int64) @ np.array([65536, 256, 1])
    values, counts = np.unique(code, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {f"#{int(values[index]):06x}": int(counts[index]) for index in order}


def _colours(array: np.ndarray) -> str:
    if array.shape[-1] != 3 or array.dtype != np.uint8:
        return ""
    counts = colour_counts(array)
    more = ", ..." if len(counts) > SHOWN else ""
    return ", ".join(f"{colour} {count} pixels" for colour, count in list(counts.items())[:SHOWN]) + more


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in values[:SHOWN]) + (", ..." if len(values) > SHOWN else "")
