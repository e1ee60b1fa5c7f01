# SPDX-License-Identifier: Apache-2.0
"""A few numbers of one image and its mask, from which sites are described and compared.

The idea of a fingerprint that decides about sizes is nnU-Net's (Isensee et al., Nature Methods 2021); the numbers here
are fewer and simpler.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label as connected

from dsfedmed.data.datalist import Item, SiteDatalist
from dsfedmed.data.masks.rule import IGNORED
from dsfedmed.data.review.items import read_item, spacing_of

MOST = 200
"""Images of a site that are looked at, evenly chosen."""
LOOKED_AT = ("training", "validation")
"""Parts that are looked at: nothing is chosen by a test part."""
LEAST_PIXELS = 4
"""Pixels below which a connected part of a mask is a speck of the drawing and no object."""


@dataclass(frozen=True)
class ImageLook:
    """What is kept of one image; grey values are those that training sees, in [0, 1], colours as luminance.

    Attributes:
        size: (x, y), pixels.
        spacing: (x, y), mm; None where the file says none.
        mean, deviation: of the grey values.
        low, high: their 5th and 95th percentile.
        edges: gradient energy, the mean squared difference of grey values of neighbours along both axes together.
        contrast: mean inside the labelled area less mean outside; None where there is no inside or no outside.
        areas: share of the image of each class, in the order of the labels; None without a mask.
        objects: of each class, the diameters of its objects: of circles as large, as a share of the side of a square
            image (resizing to a square stretches both alike); empty without a mask.
    """

    size: tuple[int, int]
    spacing: tuple[float, float] | None
    mean: float
    deviation: float
    low: float
    high: float
    edges: float
    contrast: float | None = None
    areas: tuple[float, ...] | None = None
    objects: tuple[tuple[float, ...], ...] = ()


def look_at(datalist: SiteDatalist) -> list[ImageLook]:
    """Return the looks of at most ``MOST`` images of a site's training and validation parts, evenly chosen.

    Raises:
        DataError: naming the file that cannot be read.
    """
    return [_look_of(datalist, item) for item in evenly(_listed(datalist), MOST)]


def image_look(
    grey: NDArray[np.float32],
    mask: NDArray[np.uint8] | None,
    classes: int,
    nested: bool,
    spacing: tuple[float, float] | None = None,
) -> ImageLook:
    """Return the look of one image.

    Args:
        grey: (X, Y) in [0, 1].
        mask: (X, Y), 0..K, or 255 where a pixel is ignored; None without a mask.
        classes: K.
        nested: whether a higher label implies the lower ones.
        spacing: (x, y), mm.
    """
    low, high = np.percentile(grey, (5, 95))
    planes = [] if mask is None else [_plane(mask, value, nested) for value in range(1, classes + 1)]
    inside = None if mask is None else (mask > 0) & (mask != IGNORED)
    return ImageLook(
        size=(grey.shape[0], grey.shape[1]),
        spacing=spacing,
        mean=float(grey.mean()),
        deviation=float(grey.std()),
        low=float(low),
        high=float(high),
        edges=float(sum(np.square(np.diff(grey, axis=axis)).mean() for axis in (0, 1) if grey.shape[axis] > 1)),
        contrast=None if inside is None or mask is None else _contrast(grey, inside, mask == 0),
        areas=None if mask is None else tuple(float(plane.mean()) for plane in planes),
        objects=tuple(_diameters(plane) for plane in planes),
    )


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most so many of the items, evenly chosen, in their order."""
    count = min(most, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def _listed(datalist: SiteDatalist) -> list[Item]:
    return [item for part in LOOKED_AT for item in datalist.parts.get(part, ())]


def _look_of(datalist: SiteDatalist, item: Item) -> ImageLook:
    image, mask, affine = read_item(datalist, item, colour=False)
    grey = image.mean(axis=0, dtype=np.float32)
    return image_look(grey, mask, datalist.num_classes, datalist.nested, spacing_of(affine))


def _plane(mask: NDArray[np.uint8], value: int, nested: bool) -> NDArray[np.bool_]:
    shown: NDArray[np.bool_] = (mask >= value) & (mask != IGNORED) if nested else mask == value
    return shown


def _contrast(grey: NDArray[np.float32], inside: NDArray[np.bool_], outside: NDArray[np.bool_]) -> float | None:
    return float(grey[inside].mean() - grey[outside].mean()) if inside.any() and outside.any() else None


def _diameters(plane: NDArray[np.bool_]) -> tuple[float, ...]:
    """Return 2 sqrt(a / pi) of each connected part, a being its share of the image; specks are left out."""
    parts, _ = connected(plane)
    pixels = np.bincount(parts.reshape(-1))[1:]
    return tuple(2 * math.sqrt(count / plane.size / math.pi) for count in pixels if count >= LEAST_PIXELS)
