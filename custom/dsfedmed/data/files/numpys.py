# SPDX-License-Identifier: Apache-2.0
"""NPY arrays: (H, W) or (H, W, C), as the authors' release writes them; every plane is a channel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from dsfedmed.data.files.limits import MAX_CHANNELS, check_bytes
from dsfedmed.data.files.raw import Probe, Raw
from dsfedmed.errors import DataError

MAX_HEADER = 64 * 1024


def probe_npy(path: Path) -> Probe:
    """Return size and channels from the header."""
    shape = _shape(path)
    return Probe((shape[1], shape[0]), shape[2], None)


def read_npy(path: Path) -> Raw:
    """Read an array; MONAI's axis order is (x, y).

    Raises:
        DataError: naming the file, when it is no picture, holds objects or has more than 16 channels.
    """
    _shape(path)
    return raw_of(path, np.load(path, allow_pickle=False, max_header_size=MAX_HEADER))


def raw_of(path: Path, array: np.ndarray) -> Raw:
    """Return what an array, (H, W) or (H, W, C), holds; ``path`` is what errors call it.

    Raises:
        DataError: as `read_npy`.
    """
    array = array.reshape(_flat_shape(path, array.shape, array.dtype))
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("="))
    return Raw(path, np.swapaxes(array, 0, 1), np.eye(4), volume=False)


def _shape(path: Path) -> tuple[int, int, int]:
    """Return (H, W, C) after the header has been judged."""
    with path.open("rb") as file:
        version = npy.read_magic(file)
        read: Any = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, kind = read(file, max_header_size=MAX_HEADER)
    return _flat_shape(path, shape, kind)


def _flat_shape(path: Path, shape: tuple[int, ...], kind: np.dtype[Any]) -> tuple[int, int, int]:
    """Return (H, W, C), once it is known to be a picture's."""
    if kind.kind not in "buif":
        raise DataError(path, f"it holds {kind}, no numbers", "Save it as whole numbers or floats.")
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3 or shape[2] > MAX_CHANNELS:
        few = f"Use (H, W) or (H, W, C) with at most {MAX_CHANNELS} channels; volumes belong in NIfTI."
        raise DataError(path, f"its shape {tuple(shape)} is not a flat image", few)
    check_bytes(path, shape, kind.itemsize)
    return int(shape[0]), int(shape[1]), int(shape[2])
