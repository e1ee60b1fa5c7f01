# SPDX-License-Identifier: Apache-2.0
"""How much of an image each class takes: pixels, square millimetres, millilitres, parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from dsfedmed.bundles.volumes import slice_affine


@dataclass(frozen=True)
class Area:
    """One class in a picture, a slice or a whole volume.

    Attributes:
        label: the class's number in the mask, from 1; of nested classes the inner ones count for the outer ones too.
        name: the class.
        pixels: pixels (voxels of a whole volume) of the class.
        parts: connected parts; pixels that touch at a corner are connected.
        slice: the slice's number in the mask's file, from 1; None for a flat picture and for a whole volume.
        area_mm2: of a picture or slice; None where the file does not say how large a pixel is.
        volume_ml: of a whole volume; None of anything else, and where the file does not say how large a voxel is.
        whole_volume: whether this is all of a volume.
    """

    label: int
    name: str
    pixels: int
    parts: int
    slice: int | None = None
    area_mm2: float | None = None
    volume_ml: float | None = None
    whole_volume: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing of the class was found."""
        return self.pixels == 0


def areas_of(mask: np.ndarray, names: Sequence[str], nested: bool, meta: Mapping[str, Any]) -> tuple[Area, ...]:
    """Return the areas of one picture or slice, a class each.

    Args:
        mask: (X, Y) label map as read, or at the picture's own size.
        names: of the classes.
        nested: whether a higher label implies the lower ones.
        meta: the loader's metadata.
    """
    size, number = pixel_mm2(meta), stored_number(meta)
    areas = []
    for label, name in enumerate(names, start=1):
        pixels, parts = _counted(mask, label, nested)
        known = None if size is None else pixels * size
        areas.append(Area(label, name, pixels, parts, number, area_mm2=known))
    return tuple(areas)


def volumes_of(mask: np.ndarray, names: Sequence[str], nested: bool, meta: Mapping[str, Any]) -> tuple[Area, ...]:
    """Return the volumes of a whole label map (x, y, z), a class each; ``meta`` is that of any slice."""
    size = abs(float(np.linalg.det(np.asarray(meta["frame_affine"])[:3, :3]))) if "frame_affine" in meta else None
    areas = []
    for label, name in enumerate(names, start=1):
        pixels, parts = _counted(mask, label, nested)
        known = None if size is None else pixels * size / 1000
        areas.append(Area(label, name, pixels, parts, volume_ml=known, whole_volume=True))
    return tuple(areas)


def pixel_mm2(meta: Mapping[str, Any]) -> float | None:
    """Return the area of a pixel, the parallelogram between its two sides; None where the file knows no place."""
    sides = pixel_sides(meta)
    return None if sides is None else float(np.linalg.norm(np.cross(*sides)))


def pixel_sides(meta: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """Return where one step along x and along y of the picture as read leads, (3,) each in mm, RAS+."""
    if "frame_affine" not in meta:
        return None
    affine = np.asarray(meta["original_affine"] if meta.get("patch_index") is None else slice_affine(meta))
    return affine[:3, 0], affine[:3, 1]


def stored_number(meta: Mapping[str, Any]) -> int | None:
    """Return a slice's number in the file, from 1: volumes are read in one direction and stored in any."""
    if meta.get("patch_index") is None:
        return None
    index = int(meta["patch_index"])
    for target, direction in np.asarray(meta.get("frame_orientation", np.empty((0, 2)))):
        if int(target) == 2 and direction < 0:
            index = int(meta["frame_slices"]) - 1 - index
    return index + 1


def _counted(mask: np.ndarray, label: int, nested: bool) -> tuple[int, int]:
    """Return pixels and connected parts, which are looked for in the box around the class alone."""
    found = mask >= label if nested else mask == label
    pixels = int(np.count_nonzero(found))
    if not pixels:
        return 0, 0
    box = ndimage.find_objects(found.view(np.uint8))[0]
    return pixels, int(ndimage.label(found[box], structure=np.ones((3,) * mask.ndim))[1])
