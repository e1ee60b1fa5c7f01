# SPDX-License-Identifier: Apache-2.0
"""The results of one image: masks of slices become one volume, everything lies as the image's own file does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dsfedmed.bundles.saving import as_shown
from dsfedmed.bundles.volumes import VolumeMask
from dsfedmed.data.files.kinds import Kind, read_kind
from dsfedmed.data.files.raw import Raw
from dsfedmed.prediction.areas import Area, areas_of, volumes_of
from dsfedmed.prediction.model import SegmentationBundle
from dsfedmed.prediction.segmenting import Found


@dataclass(frozen=True, eq=False)
class Prediction:
    """What was found in one image.

    Attributes:
        mask: uint8 label map, 0 background, 1..K. Of a flat picture (rows, columns), as it is looked at; of NIfTI, of a
            DICOM series and of other stacks (x, y, z) with the axes of the image's file, as nibabel gives them.
        probabilities: (K, ...) float32 in [0, 1], one map a class, each of the mask's shape; None where they were not
            asked for. The mask is where they are above the bundle's threshold (0.5).
        areas: a class each; of volumes for every slice, then for the whole.
        classes: names of the K classes.
        affine: 4 x 4 from voxels to mm (RAS+) where the mask is written as NIfTI; None of flat pictures.
    """

    mask: np.ndarray
    probabilities: np.ndarray | None
    areas: tuple[Area, ...]
    classes: tuple[str, ...]
    affine: np.ndarray | None

    def __repr__(self) -> str:
        """Return size and what was found in one line, without the numbers of the arrays."""
        whole = [area for area in self.areas if area.whole_volume] or self.areas
        unit = "pixels" if self.mask.ndim == 2 else "voxels"
        found = ", ".join(f"{area.name} {area.pixels} {unit}" for area in whole)
        return f"<Prediction: {' x '.join(map(str, self.mask.shape))}, {found}>"


def assemble(
    raw: Raw,
    found: Iterator[Found],
    bundle: SegmentationBundle,
    probabilities: bool,
    look: Callable[[Found], None] = lambda _: None,
) -> Prediction:
    """Put together what was found in one image.

    Args:
        raw: the image as read; of several files the first.
        found: in its picture, or in all of its slices.
        bundle: that found it.
        probabilities: keep them; of a volume they need four bytes a voxel and class.
        look: is shown every picture or slice, one after the other.

    Raises:
        DataError: naming the image, when it cannot be read or a mask has no place.
    """
    if raw.volume:
        return _volume(raw, found, bundle, probabilities, look)
    (one,) = found
    look(one)
    maps = one.probabilities if probabilities else None
    if not is_nifti(raw):
        mask = as_shown(one.mask, one.meta)
        shown = None if maps is None else np.stack([as_shown(plane, one.meta) for plane in maps])
        return Prediction(mask, shown, areas_of(mask.T, *_classes(bundle), one.meta), bundle.class_names, None)
    whole = _Whole(str(raw.path), {**one.meta, "frame_slices": 1}, one.mask.shape, 0 if maps is None else len(maps))
    whole.add(0, one)
    areas = areas_of(one.mask, *_classes(bundle), one.meta)
    return whole.prediction(areas, bundle.class_names, flat=True)


def is_nifti(raw: Raw) -> bool:
    """Tell a NIfTI file, whose mask is one too, from other flat pictures; an array has no file."""
    return raw.frame is not None and read_kind(raw.path) is Kind.NIFTI


def _volume(
    raw: Raw, found: Iterator[Found], bundle: SegmentationBundle, probabilities: bool, look: Callable[[Found], None]
) -> Prediction:
    whole: _Whole | None = None
    areas: list[Area] = []
    for one in found:
        look(one)
        if whole is None:
            count = len(one.probabilities) if probabilities else 0
            whole = _Whole(str(raw.path), one.meta, one.mask.shape, count)
        whole.add(int(one.meta["patch_index"]), one)
        areas += areas_of(one.mask, *_classes(bundle), one.meta)
    assert whole is not None  # a file without slices is refused by its reader
    areas.sort(key=lambda area: area.slice or 0)
    result = whole.prediction(tuple(areas), bundle.class_names)
    return Prediction(
        result.mask,
        result.probabilities,
        (*areas, *volumes_of(result.mask, *_classes(bundle), whole.meta)),
        result.classes,
        result.affine,
    )


class _Whole:
    """Mask and probabilities of an image that becomes NIfTI."""

    def __init__(self, name: str, meta: Mapping[str, Any], size: tuple[int, ...], classes: int) -> None:
        self.meta = meta
        self.mask = VolumeMask(name, meta, size)
        self.maps = [VolumeMask(name, meta, size, np.float32) for _ in range(classes)]

    def add(self, index: int, found: Found) -> None:
        self.mask.add(index, found.mask)
        for volume, plane in zip(self.maps, found.probabilities, strict=False):
            volume.add(index, plane)

    def prediction(self, areas: tuple[Area, ...], names: tuple[str, ...], flat: bool = False) -> Prediction:
        maps = np.stack([volume.stored(flat) for volume in self.maps]) if self.maps else None
        return Prediction(self.mask.stored(flat), maps, areas, names, self.mask.affine)


def _classes(bundle: SegmentationBundle) -> tuple[tuple[str, ...], bool]:
    return bundle.class_names, bundle.nested
