# SPDX-License-Identifier: Apache-2.0
"""One reading of every image of a site: the numbers, the hash and the thumbnail that the review is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsfedmed.data.datalist import PARTS, Item, SiteDatalist
from dsfedmed.data.reading import LoadSiteImaged
from dsfedmed.data.review.thumbnail import normalised_thumbnail
from dsfedmed.errors import DataError

Progress = Callable[[int, int], None]
"""Called after each image with how many are done and how many there are."""
BINS = 32
CONSTANT = 1e-3


@dataclass(frozen=True, eq=False)
class ReviewedItem:
    """What the review knows of one image (or slice).

    Grey values are those that training sees, in [0, 1]: luminance of colours, the mean of other channels.

    Attributes:
        item: of the datalist.
        part: "training", "validation" or "test".
        size: (x, y), pixels.
        spacing: (x, y) as the file gives it, mm for DICOM and NIfTI; None where the file has none.
        mean, spread: mean and standard deviation of the grey values.
        histogram: (32,) counts of the grey values over [0, 1].
        labelled: share of the image with any label; None without a mask.
        areas: share of the image of each foreground label, in the order of the labels; None without a mask. Nested
            labels count the higher ones in.
        values: values that occur in the mask; empty without one.
        contrast: mean inside the mask less mean outside; None where there is no inside or no outside.
        inside: mean grey value inside the mask; None where there is none.
        pixels: SHA-256 of size and luminance at 8 bits; empty for an image of one grey value, which says nothing.
        thumbnail: (1024,) float32 of length 1, see `normalised_thumbnail`; None where there is no structure.
    """

    item: Item
    part: str
    size: tuple[int, int]
    spacing: tuple[float, float] | None
    mean: float
    spread: float
    histogram: NDArray[np.int64]
    labelled: float | None
    areas: tuple[float, ...] | None
    values: tuple[int, ...]
    contrast: float | None
    inside: float | None
    pixels: str
    thumbnail: NDArray[np.float32] | None


def review_items(datalist: SiteDatalist, progress: Progress | None = None) -> list[ReviewedItem]:
    """Read every image of a site that can be read; the others are check-site's errors.

    Args:
        datalist: of the site.
        progress: told after each image.

    Returns:
        The items in the order of the parts and of the datalist.
    """
    return list(_reviewed(datalist, progress))


def _reviewed(datalist: SiteDatalist, progress: Progress | None) -> Iterator[ReviewedItem]:
    listed = [(part, item) for part in PARTS for item in datalist.parts[part]]
    for number, (part, item) in enumerate(listed, start=1):
        try:
            yield review_item(datalist, part, item)
        except DataError:  # check-site names this file and the reason
            continue
        finally:
            if progress is not None:
                progress(number, len(listed))


def review_item(datalist: SiteDatalist, part: str, item: Item) -> ReviewedItem:
    """Read one image and its mask and return its numbers.

    Raises:
        DataError: as `LoadSiteImaged`; or the mask has another size than its image.
    """
    image, label, affine = read_item(datalist, item, colour=False)
    grey = image.mean(axis=0, dtype=np.float32)
    mask = None if label is None else label > 0
    inside = float(grey[mask].mean()) if mask is not None and mask.any() else None
    outside = float(grey[~mask].mean()) if mask is not None and not mask.all() else None
    varied = float(grey.max() - grey.min()) > CONSTANT
    return ReviewedItem(
        item=item,
        part=part,
        size=(grey.shape[0], grey.shape[1]),
        spacing=spacing_of(affine),
        mean=float(grey.mean()),
        spread=float(grey.std()),
        histogram=np.histogram(grey, BINS, (0.0, 1.0))[0],
        labelled=None if mask is None else float(mask.mean()),
        areas=None if label is None else label_areas(label, datalist.num_classes, datalist.nested),
        values=() if label is None else tuple(int(value) for value in np.unique(label)),
        contrast=None if inside is None or outside is None else inside - outside,
        inside=inside,
        pixels=_pixels(grey) if varied else "",
        thumbnail=normalised_thumbnail(grey),
    )


def read_item(
    datalist: SiteDatalist, item: Item, colour: bool
) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None, NDArray[np.float64]]:
    """Read one image and its mask as training does.

    Args:
        datalist: of the site.
        item: the image.
        colour: with three channels rather than as luminance, unless the site says that its images are grey; a number
            of channels that is no picture's is read as it is.

    Returns:
        Image (C, X, Y) float32 in [0, 1], mask (X, Y) uint8 or None, and the image's 4 x 4 affine.

    Raises:
        DataError: as `LoadSiteImaged`; or the mask has another size than its image.
    """
    channels = datalist.channels if datalist.channels not in (None, 1, 3) else 1
    if colour and datalist.channels in (None, 3):
        channels = 3
    document: dict[Hashable, Any] = dict(datalist.document(item).items())
    read = LoadSiteImaged(channels=channels, allow_missing_keys=True)(document)
    image = np.asarray(read["image"])
    label = np.asarray(read["label"][0]) if "label" in read else None
    if label is not None and label.shape != image.shape[1:]:
        raise DataError(item.label, "the mask has another size than its image", "Export it at the size of its image.")
    return image, label, np.asarray(read["image"].affine)


def label_areas(label: NDArray[np.uint8], classes: int, nested: bool) -> tuple[float, ...]:
    """Return the share of the image, in [0, 1], of each foreground label of an (X, Y) mask."""
    chosen = (label >= value if nested else label == value for value in range(1, classes + 1))
    return tuple(float(mask.mean()) for mask in chosen)


def spacing_of(affine: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the (x, y) spacing of a 4 x 4 affine, mm; None for the identity, which stands for "not known"."""
    if affine.shape != (4, 4) or np.allclose(affine, np.eye(4)):
        return None
    x, y = np.linalg.norm(affine[:3, :2], axis=0)
    return float(x), float(y)


def _pixels(grey: NDArray[np.float32]) -> str:
    """Return the hash of an (X, Y) image at 8 bits: a copy in another lossless format, or as RGB, has the same."""
    shape = f"{grey.shape[0]} {grey.shape[1]} ".encode()
    return hashlib.sha256(shape + np.rint(grey * 255).astype(np.uint8).tobytes()).hexdigest()
