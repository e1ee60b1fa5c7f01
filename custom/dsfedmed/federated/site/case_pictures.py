# SPDX-License-Identifier: Apache-2.0
"""Pictures of a site's own test cases, in its own folder: the same cases under every method, side by side.

Networks are scored in several requests, and which cases are worth seeing is known when the method and what it is held
against have both been scored. So each method's predicted masks are kept, packed, until the run folder is deleted.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dsfedmed.data.arrays import plain
from dsfedmed.data.datalist import Item
from dsfedmed.data.reading import LoadSiteImaged
from dsfedmed.evaluation.protocol import ScoredImage
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.reporting.pictures import Picture, overlay_png, select_cases, shown_channel, write_picture_index
from dsfedmed.store.files import write_bytes

FOLDER, MASKS = "pictures", "masks"


def keep_masks(site: SiteContext, method: str, scored: Sequence[ScoredImage]) -> None:
    """Keep a method's predicted masks of all test images and its Dice, compressed, at the site.

    Raises:
        StoreError: the disk cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {f"{image.index}": np.packbits(image.prediction.numpy()) for image in scored}
    arrays["dice"] = np.array([image.metrics.mean_dice for image in scored])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_bytes(site.folder / FOLDER / MASKS / f"{method}.npz", buffer.getvalue())


def draw_cases(site: SiteContext, scored: Sequence[ScoredImage], pair: tuple[str, str] | None, channels: int) -> None:
    """Draw the cases where the method differs most from its baseline, and the median, under every method kept.

    Until both are known, the cases are the worst, median and best of the method that is.

    Args:
        site: whose pictures are drawn anew, and whose index of them is written.
        scored: all test images, of any network: what they are and how they were labelled.
        pair: the method and what it is held against.
        channels: of the run's images.
    """
    folder = site.folder / FOLDER
    dice = {path.stem: _read(path, "dice") for path in sorted((folder / MASKS).glob("*.npz"))}
    dice = {name: values for name, values in dice.items() if len(values) == len(scored)}
    shown = shown_channel(channels, site.datalist.sorted_channel_names)
    for old in folder.glob("*.png"):
        old.unlink()
    pictures = []
    differences = _differences(dice, pair)
    for rank, index in select_cases(_order_by(dice, pair, differences)).items():
        image = scored[index]
        pixels = _own_image(site, image.item, channels)
        for method, values in dice.items():
            file = f"{method}-{rank}.png"
            bits = _read(folder / MASKS / f"{method}.npz", f"{index}")
            prediction = torch.from_numpy(np.unpackbits(bits, count=image.target.numel()).reshape(image.target.shape))
            overlay_png(pixels, image.target, prediction, folder / file)
            gap = None if differences is None else differences[index]
            pictures.append(Picture(file, method, image.item.case, rank, float(values[index]), shown, gap))
    write_picture_index(folder, pictures)


def _differences(dice: Mapping[str, NDArray[Any]], pair: tuple[str, str] | None) -> list[float] | None:
    """Return the method's Dice minus the baseline's, image by image; None until both are known."""
    if pair is None or not set(pair) <= dice.keys():
        return None
    return [float(value) for value in dice[pair[0]] - dice[pair[1]]]


def _order_by(
    dice: Mapping[str, NDArray[Any]], pair: tuple[str, str] | None, differences: list[float] | None
) -> list[float]:
    """Return what the cases are ordered by: the differences, or the Dice of the method, or of the first there is."""
    if differences is not None:
        return differences
    name = pair[0] if pair is not None and pair[0] in dice else next(iter(dice))
    return [float(value) for value in dice[name]]


def _read(path: Path, name: str) -> NDArray[Any]:
    with np.load(path, allow_pickle=False) as found:
        array: NDArray[Any] = found[name]
    return array


def _own_image(site: SiteContext, item: Item, channels: int) -> torch.Tensor:
    """Return the image at its own size, (C, X, Y): in colour where the run's images are grey or RGB."""
    document: dict[Any, Any] = {key: value for key, value in site.datalist.document(item).items() if key != "label"}
    read = 3 if channels == 1 else channels
    return plain(LoadSiteImaged(keys=("image",), channels=read)(document)["image"])
