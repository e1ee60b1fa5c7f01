# SPDX-License-Identifier: Apache-2.0
"""The mask of a volume from those of its slices, in the shape and place of the volume's own file.

The loader says in the metadata of every slice how the array that it read lies in the file: ``patch_index`` (z, the
slice's number in the array as read), ``frame_slices`` (how many there are), ``frame_shape`` (3, as stored),
``frame_affine`` (4 x 4 of the stored array, in mm, RAS+, as nibabel has it) and ``frame_orientation`` (3 x 2, the
nibabel orientation that takes the stored axes to those of the array as read). The last three are missing where a file
knows no place (a stack of pictures): its mask has the axes as read and the identity for an affine.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, ornt_transform

from dsfedmed.data.files.geometry import AS_STORED
from dsfedmed.data.files.kinds import suffix_of
from dsfedmed.errors import DataError
from dsfedmed.store.files import write_atomic

PLACE = ("frame_shape", "frame_affine", "frame_orientation")
FIX = "Load volumes with LoadSiteImaged, with a batch size of 1 where they differ in kind."


class VolumeMask:
    """The mask of one volume while its slices come in, in any order; one byte a voxel, or four of probabilities.

    Args:
        name: the volume's file, for errors.
        meta: metadata of one of its slices.
        size: (x, y) of a slice as read, for a file that knows no place.
        dtype: of the voxels: uint8 of label maps, float32 of probabilities.

    Raises:
        DataError: the metadata lack what puts the mask into its place, or contradict themselves.
    """

    def __init__(self, name: str, meta: Mapping[str, Any], size: tuple[int, ...], dtype: Any = np.uint8) -> None:
        self.name = name
        lacking = [key for key in ("frame_slices", *PLACE) if key not in meta]
        if lacking == list(PLACE) and _knows_no_place(meta):
            shape = (*size, int(meta["frame_slices"]))
            meta = {**meta, "frame_shape": shape, "frame_affine": np.eye(4), "frame_orientation": AS_STORED}
        elif lacking:
            reason = f"its metadata lack {', '.join(lacking)}, so that its mask has no place"
            raise DataError(name, reason, FIX)
        self.orientation = np.asarray(meta["frame_orientation"], dtype=np.float64)
        self.affine = np.asarray(meta["frame_affine"], dtype=np.float64)
        self.shape = tuple(int(n) for n in meta["frame_shape"])
        read = [0, 0, 0]
        for axis, target in enumerate(self.orientation[:, 0].astype(int)):
            read[target] = self.shape[axis]
        if read[2] != int(meta["frame_slices"]):
            reason = f"it has {int(meta['frame_slices'])} slices as read, but its axes say {read[2]}"
            raise DataError(name, reason, FIX)
        self._read = np.zeros(read, dtype)
        self._missing = set(range(read[2]))

    @property
    def missing(self) -> list[int]:
        """Numbers of the slices that have not come."""
        return sorted(self._missing)

    def add(self, index: int, mask: np.ndarray) -> None:
        """Put slice ``index`` in: (X, Y), as read; one that comes again replaces the one before.

        Raises:
            DataError: the slice has another size than the volume, or a number that the volume does not have.
        """
        if mask.shape != self._read.shape[:2] or not 0 <= index < self._read.shape[2]:
            found, own = (" x ".join(str(n) for n in shape) for shape in (mask.shape, self._read.shape))
            reason = f"the mask of slice {index} is {found}, the volume {own}"
            raise DataError(self.name, reason, "Invert the resizing before masks are saved.")
        self._read[..., index] = mask
        self._missing.discard(index)

    def write(self, path: Path, flat: bool = False) -> None:
        """Write the whole mask as NIfTI; of a ``flat`` image as (x, y) where its stored z is 1.

        Raises:
            DataError: slices are missing; nothing is written.
            StoreError: the file cannot be written.
        """
        write_nifti(path, self.stored(flat), self.affine)

    def stored(self, flat: bool = False) -> np.ndarray:
        """Return the whole mask with the axes of the volume's file, (x, y, z); of a ``flat`` image as `write` does.

        Raises:
            DataError: slices are missing.
        """
        self.require_whole()
        stored = apply_orientation(self._read, ornt_transform(AS_STORED, self.orientation))
        return np.asarray(stored[..., 0] if flat and stored.shape[2] == 1 else stored)

    def require_whole(self) -> None:
        """Raise DataError when slices are missing."""
        if not self._missing:
            return
        shown = ", ".join(str(z) for z in self.missing[:8]) + (", ..." if len(self._missing) > 8 else "")
        count = self._read.shape[2]
        reason = f"of its {count} slices {len(self._missing)} never came ({shown}): its mask is not written"
        raise DataError(self.name, reason, "Give every slice of the volume, or leave the volume out.")


def slice_affine(meta: Mapping[str, Any]) -> np.ndarray:
    """Return the affine (4 x 4, mm) of a slice as read, from its metadata: its origin is the slice's, not slice 0's.

    It is ``original_affine`` where the file knows no place.
    """
    if "frame_affine" not in meta:
        return np.asarray(meta["original_affine"], dtype=np.float64)
    shape = tuple(int(n) for n in meta["frame_shape"])
    affine = np.asarray(meta["frame_affine"], dtype=np.float64)
    affine = affine @ inv_ornt_aff(np.asarray(meta["frame_orientation"], dtype=np.float64), shape)
    affine[:, 3] = affine @ [0, 0, int(meta["patch_index"]), 1]
    return np.asarray(affine)


def _knows_no_place(meta: Mapping[str, Any]) -> bool:
    """Whether the affine is the identity, at slice 0 or at the slice itself; else the place got lost in a batch."""
    affine = np.array(meta.get("original_affine", np.eye(4)), dtype=np.float64)
    if affine[2, 3] == int(meta["patch_index"]):
        affine[2, 3] = 0.0
    return bool(np.array_equal(affine, np.eye(4)))


def write_nifti(path: Path, mask: np.ndarray, affine: Any) -> None:
    """Write a label map (uint8) or probabilities (float32) as NIfTI with an affine in mm, atomically.

    Raises:
        StoreError: the file cannot be written.
    """
    image = nibabel.Nifti1Image(mask, np.asarray(affine, dtype=np.float64), dtype=mask.dtype)
    image.header.set_xyzt_units("mm")
    write_atomic(path, lambda part: _save(image, part, suffix_of(path)))


def _save(image: nibabel.Nifti1Image, part: Path, suffix: str) -> None:
    """Save under a name with the suffix, from which nibabel takes the format, and rename to the name asked for."""
    named = part.with_name(part.name + suffix)
    try:
        nibabel.save(image, named)
        named.replace(part)
    finally:
        named.unlink(missing_ok=True)
