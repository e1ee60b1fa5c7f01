# SPDX-License-Identifier: Apache-2.0
"""What a file holds, in one form for all formats."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dsfedmed.data.masks.distinct import distinct


@dataclass(frozen=True, eq=False)
class Frame:
    """Where a volume's voxels lie, as its file has them.

    shape: (x, y, z) as stored. affine: 4 x 4 from stored voxel indices to mm, RAS+ (nibabel's convention).
    orientation: (3, 2), nibabel's array that takes the stored axes to those of the array that was read.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    orientation: np.ndarray


@dataclass(frozen=True, eq=False)
class Raw:
    """A file's content, values as they mean.

    path: the file, or the folder of a DICOM series.
    array: (X, Y, C), or (X, Y, Z, C) when ``volume``; alpha is no channel.
    affine: 4 x 4, of the array, RAS+ mm; identity where the file knows no place.
    volume: whether there are slices (of a volume, pages of a stack, frames of a clip).
    frame: where the voxels lie; None where the file does not say.
    window: (low, high), the ends of the grey scale, where the file itself names them; see `values.windows`.
    low_is_white: whether smaller numbers are brighter (DICOM's MONOCHROME1).
    palette: (n, 3) uint8, when a label's values are indices into colours.
    alpha: a label's opacity, shape of ``array`` with C 1, of its own dtype; None when all is opaque.
    full_size: (x, y) of a very large picture, which ``array`` shows reduced.
    told_channels: C by the header, where the numbers were not read; else 0.
    sparse: whether slices without anything drawn may be missing (DICOM segmentations).
    foreign: of an understood label, the number taken for the one class though nobody declared it; see `masks.decode`.
    notes: what the reader did that a person should know, in words ("turned upright by its EXIF orientation").
    """

    path: Path
    array: np.ndarray
    affine: np.ndarray
    volume: bool
    frame: Frame | None = None
    window: tuple[float, float] | None = None
    low_is_white: bool = False
    palette: np.ndarray | None = None
    alpha: np.ndarray | None = None
    full_size: tuple[int, int] | None = None
    notes: tuple[str, ...] = field(default=())
    told_channels: int = 0
    sparse: bool = False
    foreign: int | None = None

    @functools.cached_property
    def values(self) -> np.ndarray:
        """The numbers that occur, sorted."""
        return distinct(self.array)

    @property
    def channels(self) -> int:
        """C."""
        return int(self.array.shape[-1])

    @property
    def slices(self) -> int | None:
        """Z; None for a flat picture."""
        return int(self.array.shape[2]) if self.volume else None

    @property
    def size(self) -> tuple[int, int]:
        """(x, y) of the picture itself, whether or not it was reduced while reading."""
        return self.full_size or (int(self.array.shape[0]), int(self.array.shape[1]))

    @property
    def spacing(self) -> tuple[float, float, float] | None:
        """Millimetres along the array's axes; None where the file knows no place."""
        if self.frame is None:
            return None
        x, y, z = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return float(x), float(y), float(z)


@dataclass(frozen=True)
class Probe:
    """What the header says: size (x, y), channels (1..16) and slices (None for a flat picture)."""

    size: tuple[int, int]
    channels: int
    slices: int | None
