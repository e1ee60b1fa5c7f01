# SPDX-License-Identifier: Apache-2.0
"""The one place that decides how stored numbers become [0, 1], in training, validation, inference and bundles alike.

In this order:

1. ``"window": [low, high]`` of the datalist (or of the bundle): those numbers become 0 and 1. For CT it is given in
   Hounsfield units, and it is what makes scanners agree; DICOM's own windows are a reader's taste.
2. What the file says: DICOM's VOI LUT or window.
3. Bits: 0 and 1. Eight bits: 0 and 255.
4. Everything else (16 bits, floats, DICOM and NIfTI without a window): the 0.5 and 99.5 percentiles of the file, of
   the whole volume for a slice and of each channel by itself where channels are no colours.

Values outside are clipped. A constant picture becomes 0.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import numpy as np

from dsfedmed.data.files.raw import Raw
from dsfedmed.errors import DataError

PERCENTILES = (0.5, 99.5)
_found: weakref.WeakKeyDictionary[Raw, np.ndarray] = weakref.WeakKeyDictionary()


def windows(raw: Raw, declared: Sequence[float] | None = None) -> np.ndarray:
    """Return the numbers that become 0 and 1 for each channel, (C, 2) float64; larger first where low is white.

    Raises:
        DataError: naming the file, when it holds values that are not finite.
    """
    if declared is not None:
        found = np.tile(np.array([tuple(float(value) for value in declared)]), (raw.channels, 1))
    else:
        if raw not in _found:
            _found[raw] = _own(raw)
        found = _found[raw]
    return found[:, ::-1] if raw.low_is_white else found


def scaled(array: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Return numbers (..., C) as float32 in [0, 1]."""
    low, high = window[:, 0].astype(np.float64), window[:, 1].astype(np.float64)
    span = high - low
    span = np.where(np.abs(span) < 1e-12, 1e-12, span)
    if array.dtype == np.uint8 and (low == 0).all() and (high == 255).all():  # nothing to clip
        return np.asarray(np.divide(array, np.float32(255), dtype=np.float32))
    return np.clip((array.astype(np.float32) - low.astype(np.float32)) / span.astype(np.float32), 0.0, 1.0)


def _own(raw: Raw) -> np.ndarray:
    array = raw.array
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(raw.path, "it holds values that are not finite", "Export it again without NaN and infinity.")
    if raw.window is not None:
        return np.tile(np.array([raw.window], dtype=np.float64), (raw.channels, 1))
    if array.dtype == np.uint8:
        return np.tile(np.array([(0.0, 255.0)]), (raw.channels, 1))
    if array.dtype == np.bool_:
        return np.tile(np.array([(0.0, 1.0)]), (raw.channels, 1))
    flat = array.reshape(-1, raw.channels).astype(np.float32)
    if raw.channels == 3:  # colours share one scale, or their hue would change
        found = np.tile(np.percentile(flat, PERCENTILES), (3, 1))
    else:
        found = np.asarray(np.percentile(flat, PERCENTILES, axis=0).T)
    with np.errstate(over="ignore"):
        usable = np.isfinite((found[:, 1].astype(np.float64) - found[:, 0]).astype(np.float32)).all()
    if not usable:
        raise DataError(raw.path, "it holds numbers too large to be scaled", "Export it again in usual numbers.")
    return found
