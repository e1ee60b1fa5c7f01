# SPDX-License-Identifier: Apache-2.0
"""One image of a site as JPEG, as training sees it: x to the right, y downwards, the mask's outline in its colour."""

from __future__ import annotations

import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dsfedmed.data.datalist import Item, SiteDatalist
from dsfedmed.data.review.items import read_item
from dsfedmed.reporting.pictures import draw_contour, upright

COLOURS = (
    (255, 230, 0), (0, 214, 255), (255, 90, 170), (120, 255, 80), (255, 112, 32), (150, 120, 255), (255, 255, 255),
    (0, 150, 110),
)  # fmt: skip
"""Of the classes, in the order of their values; from the ninth class on they come again."""
CELL, LARGE = 180, 300
QUALITY = 82
GAP = 6
Rgb = NDArray[np.uint8]


def outlined_jpeg(datalist: SiteDatalist, item: Item) -> bytes:
    """Return the image with the outlines of its mask; the longer side has 180 pixels.

    Raises:
        DataError: the files cannot be read.
    """
    image, label, _ = read_item(datalist, item, colour=True)
    return _jpeg(_outlined(image, label, datalist, CELL))


def side_by_side_jpeg(datalist: SiteDatalist, item: Item) -> bytes:
    """Return the bare image, the image with outlines, and the mask beside each other; longer sides of 300 pixels.

    Raises:
        DataError: the files cannot be read.
    """
    image, label, _ = read_item(datalist, item, colour=True)
    bare = upright(torch.from_numpy(image), _size(image, LARGE))
    if label is None:
        return _jpeg(bare)
    gap = np.full((bare.shape[0], GAP, 3), 255, dtype=np.uint8)
    mask = _mask(label, datalist, _size(image, LARGE))
    return _jpeg(np.concatenate([bare, gap, _outlined(image, label, datalist, LARGE), gap, mask], axis=1))


def colour_of(value: int) -> tuple[int, int, int]:
    """Return the colour of a foreground label, 1 or higher."""
    return COLOURS[(value - 1) % len(COLOURS)]


def _size(image: NDArray[np.float32], longer: int) -> tuple[int, int]:
    factor = longer / max(image.shape[1:])
    return max(1, round(image.shape[1] * factor)), max(1, round(image.shape[2] * factor))


def _outlined(image: NDArray[np.float32], label: NDArray[np.uint8] | None, datalist: SiteDatalist, longer: int) -> Rgb:
    size = _size(image, longer)
    picture = upright(torch.from_numpy(image), size)
    if label is not None:
        for value in range(1, datalist.num_classes + 1):
            mask = torch.from_numpy(label >= value if datalist.nested else label == value)
            draw_contour(picture, mask, size, colour_of(value), width=1 if longer == CELL else 2)
    return picture


def _mask(label: NDArray[np.uint8], datalist: SiteDatalist, size: tuple[int, int]) -> Rgb:
    colours = np.zeros((256, 3), dtype=np.uint8)
    for value in range(1, datalist.num_classes + 1):
        colours[value] = colour_of(value)
    return np.array(Image.fromarray(colours[np.ascontiguousarray(label.T)]).resize(size, Image.Resampling.NEAREST))


def _jpeg(picture: Rgb) -> bytes:
    """Return a JPEG of full colour resolution, so that thin outlines keep their colour."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()
