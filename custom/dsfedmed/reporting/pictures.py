# SPDX-License-Identifier: Apache-2.0
"""Pictures for people: overlays of single cases and contact sheets of the synthetic set.

An image of one channel is shown in grey, one of three in their colours, of any other number the first channel alone,
in grey; the report says so (`shown_channel`). Overlays are made and stay at the site that owns the image; only a report
built on the same disk shows them. All pictures are turned upright: MONAI's (x, y) becomes (rows, columns).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion

from dsfedmed.documents import read_json
from dsfedmed.errors import StoreError, worded

INDEX_NAME = "index.json"
TARGET_COLOURS = ((0, 214, 255), (120, 255, 180), (90, 150, 255))
PREDICTION_COLOURS = ((255, 112, 32), (255, 214, 64), (255, 90, 170))
GREYS = 122  # levels in the palette of a grey picture, beside the six contour colours
COLOURS = 3
RANKS = ("best", "median", "worst")
Rgb = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """One overlay in a site's picture folder.

    Attributes:
        file: file name inside the folder.
        method: method key.
        case: the site's own name of the case; it never leaves the site.
        rank: "best", "median" or "worst" at this site: by the difference, or where there is none, by the Dice.
        dice: mean Dice over the classes, fraction.
        shown: which of several channels is to be seen (`shown_channel`).
        difference: Dice of the run's method minus that of what it is held against, fraction; the same for all methods'
            pictures of a case. None where only one of the two was scored.
    """

    file: str
    method: str
    case: str
    rank: str
    dice: float
    shown: str = ""
    difference: float | None = None


def select_cases(dice: Sequence[float]) -> dict[str, int]:
    """Return the index of the best, the median and the worst Dice or difference, as many of them as differ.

    Ties go to the first image; the median of an even number is the lower of the middle two.

    Raises:
        ValueError: there are no values.
    """
    if not dice:
        raise ValueError("there are no cases to choose from")
    order = sorted(range(len(dice)), key=lambda index: dice[index])
    chosen = {
        "best": min(order, key=lambda index: (-dice[index], index)),
        "median": order[(len(order) - 1) // 2],
        "worst": order[0],
    }
    distinct: dict[str, int] = {}
    for rank in ("worst", "best", "median"):
        if chosen[rank] not in distinct.values():
            distinct[rank] = chosen[rank]
    return {rank: distinct[rank] for rank in RANKS if rank in distinct}


def shown_channel(channels: int, names: Sequence[str] = ()) -> str:
    """Return which channel a picture shows, such as "channel 1 of 4 (FLAIR)"; empty for grey and RGB.

    Args:
        channels: of the images.
        names: of the channels, in their order; may be empty.
    """
    if channels in (1, COLOURS):
        return f"{', '.join(names)} as red, green and blue" if names and channels == COLOURS else ""
    return f"channel 1 of {channels}" + (f" ({names[0]})" if names else "")


def overlay_png(
    image: torch.Tensor, target: torch.Tensor, prediction: torch.Tensor, path: Path, longer_side: int = 384
) -> None:
    """Write the image with the contours of the target (blue) and of the prediction (orange).

    Args:
        image: (C, X, Y) float in [0, 1], C from 1 on, at any size: it is scaled to the masks' shape.
        target: (K, X, Y) bool or {0, 1}.
        prediction: (K, X, Y), the same shape as the target.
        path: PNG file to write; its folder is made.
        longer_side: least length of the picture's longer side, pixels.

    Raises:
        ValueError: the shapes do not fit.
    """
    if target.ndim != 3 or target.shape != prediction.shape:
        raise ValueError(f"masks must be two (K, X, Y), got {tuple(target.shape)} and {tuple(prediction.shape)}")
    size = _scaled((target.shape[1], target.shape[2]), longer_side)
    picture = upright(image, size)
    for channels, colours in ((target, TARGET_COLOURS), (prediction, PREDICTION_COLOURS)):
        for k, mask in enumerate(channels):
            draw_contour(picture, mask, size, colours[k % len(colours)], width=3)
    _save(picture, path, grey=image.shape[0] != COLOURS)


def contact_sheet(images: torch.Tensor, labels: torch.Tensor, path: Path, columns: int = 6, cell: int = 112) -> None:
    """Write a sheet of pairs: each synthetic image bare, and beside it with the contour of its mask.

    Args:
        images: (N, C, S, S) uint8, C from 1 on, at least one.
        labels: (N, 1, S, S) uint8 label maps; every value's border is drawn.
        path: PNG file to write; its folder is made.
        columns: pairs in a row.
        cell: side of one picture, pixels.

    Raises:
        ValueError: the shapes do not fit or there are no images.
    """
    if images.ndim != 4 or labels.ndim != 4 or labels.shape[1] != 1 or len(images) != len(labels) or not len(images):
        raise ValueError(f"expected (N, C, S, S) and (N, 1, S, S), got {tuple(images.shape)}, {tuple(labels.shape)}")
    gap, half = 8, 2
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height, width = rows * (cell + gap) - gap, columns * (2 * cell + half + gap) - gap
    sheet = np.full((height, width, 3), 255, dtype=np.uint8)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        top, left = index // columns * (cell + gap), index % columns * (2 * cell + half + gap)
        bare = upright(image.float() / 255, (cell, cell))
        marked = bare.copy()
        for value in range(1, int(label.max()) + 1):
            draw_contour(marked, label[0] >= value, (cell, cell), TARGET_COLOURS[(value - 1) % 3], width=1)
        sheet[top : top + cell, left : left + cell] = bare
        sheet[top : top + cell, left + cell + half : left + 2 * cell + half] = marked
    _save(sheet, path, grey=images.shape[1] != COLOURS)


def write_picture_index(folder: Path, pictures: Sequence[Picture]) -> None:
    """Write the folder's index.json; the report reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps([asdict(picture) for picture in pictures], indent=1, ensure_ascii=False)
    (folder / INDEX_NAME).write_text(text + "\n", encoding="utf-8")


def read_picture_index(folder: Path) -> list[Picture]:
    """Read a picture folder's index; no folder or no index is an empty list.

    Only plain file names that lie in the folder are taken.
    """
    index = folder / INDEX_NAME
    if not index.is_file():
        return []
    try:
        found = [Picture(**entry) for entry in read_json(index)]
    except (OSError, ValueError, TypeError) as error:
        fix = "Remove it: the report then has no pictures of cases."
        raise StoreError(index, f"cannot be read ({worded(error)})", fix) from error
    return [
        picture for picture in found if Path(picture.file).name == picture.file and (folder / picture.file).is_file()
    ]


def _save(picture: Rgb, path: Path, grey: bool) -> None:
    """Write a PNG; a grey image with coloured contours fits a palette, a third of the bytes.

    Without `optimize`, which takes ten times as long for a sixth of the bytes; the page has its own small JPEGs.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not grey:
        Image.fromarray(picture).save(path)
        return
    index = np.round(picture[..., 0] * ((GREYS - 1) / 255)).astype(np.uint8)
    colours = TARGET_COLOURS + PREDICTION_COLOURS
    for number, colour in enumerate(colours):
        index[(picture == colour).all(-1)] = GREYS + number
    image = Image.fromarray(index, mode="P")
    levels = np.round(np.linspace(0, 255, GREYS)).astype(int)
    image.putpalette([int(v) for level in levels for v in (level,) * 3] + [v for colour in colours for v in colour])
    image.save(path)


def _scaled(size: tuple[int, int], longer_side: int) -> tuple[int, int]:
    """Return the size enlarged (never shrunk) by one factor so that its longer side has at least ``longer_side``."""
    factor = max(1.0, longer_side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def upright(image: torch.Tensor, size: tuple[int, int]) -> Rgb:
    """Return a (C, X, Y) image in [0, 1] as (rows, columns, 3) uint8 of the wanted (x, y) size."""
    if image.ndim != 3 or image.shape[0] < 1:
        raise ValueError(f"expected a (C, X, Y) image, got {tuple(image.shape)}")
    shown = image if image.shape[0] == COLOURS else image[:1]
    pixels = (shown.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8)
    array = pixels.expand(3, -1, -1).permute(2, 1, 0).numpy()
    return np.array(Image.fromarray(np.ascontiguousarray(array)).resize(size, Image.Resampling.BICUBIC))


def draw_contour(picture: Rgb, mask: torch.Tensor, size: tuple[int, int], colour: tuple[int, ...], width: int) -> None:
    """Draw the inner border of an (X, Y) mask into the picture, in place."""
    array = np.ascontiguousarray((mask.detach().cpu().float() > 0.5).numpy().T.astype(np.float32))
    smooth = np.array(Image.fromarray(array, mode="F").resize(size, Image.Resampling.BILINEAR)) > 0.5
    inner = binary_erosion(smooth, iterations=width)
    picture[smooth & ~inner] = colour
