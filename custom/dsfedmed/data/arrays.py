# SPDX-License-Identifier: Apache-2.0
"""One part of a site at network size, stacked in memory: what local training and per-round validation read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from dsfedmed.data.datalist import Item, SiteDatalist
from dsfedmed.data.labels import IGNORE, valid_pixels
from dsfedmed.errors import DataError, DSFedMedError

Preprocessing = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class SiteArrays:
    """images (N, C, S, S) float32 in [0, 1]; labels (N, 1, S, S) uint8, 0..K or ``IGNORE``; cases: N patient names."""

    images: Tensor
    labels: Tensor
    cases: tuple[str, ...]

    def __len__(self) -> int:
        """Return N."""
        return len(self.cases)


def load_part(datalist: SiteDatalist, part: str, preprocessing: Preprocessing) -> SiteArrays:
    """Load every image of a part through ``preprocessing`` and stack the results as plain tensors.

    Args:
        datalist: the site.
        part: "training", "validation" or "test".
        preprocessing: a MONAI ``Compose`` that starts with ``LoadSiteImaged`` and ends with ``image`` (C, S, S) and
            ``label`` (1, S, S), all of one size.

    Raises:
        DataError: naming the file; also when the part is empty, an item has no label, sizes differ, or a label value
            is not declared in the datalist.
    """
    items = _items(datalist, part)
    images: list[Tensor] = []
    labels: list[Tensor] = []
    for item in items:
        result = preprocess_item(datalist, item, preprocessing)
        if "label" not in result:
            raise DataError(item.image, f"it has no label and is in {part}", "Add its label or take it out.")
        image, label = plain(result["image"]).to(torch.float32), plain(result["label"])
        if images and image.shape != images[0].shape:
            raise DataError(
                item.image,
                f"it is {tuple(image.shape)} after preprocessing and the ones before are {tuple(images[0].shape)}",
                "Let the preprocessing resize to one size.",
            )
        if label.shape != (1, *image.shape[1:]):
            raise DataError(
                item.label, f"the label is {tuple(label.shape)} beside {tuple(image.shape)}", "Resize both alike."
            )
        check_label_values(item, label, datalist.labels, datalist.ignore is not None)
        images.append(image)
        labels.append(label.to(torch.uint8))
    return SiteArrays(torch.stack(images), torch.stack(labels), tuple(item.case for item in items))


def generator_pairs(arrays: SiteArrays, where: str) -> SiteArrays:
    """Return what a generator of images learns from: ignored pixels are background, as a mask to draw from says all.

    Images of which more than half is ignored are left out, since their background would mostly be a guess. Arrays
    without ignored pixels come back as they are.

    Raises:
        DataError: naming ``where``, when no image is left.
    """
    ignored = ~valid_pixels(arrays.labels)
    if not bool(ignored.any()):
        return arrays
    kept = torch.nonzero(ignored.flatten(1).float().mean(dim=1) <= 0.5).flatten()
    if not len(kept):
        raise DataError(
            where, "more than half of every training label is to be ignored", "Label more of at least one image."
        )
    labels = arrays.labels.masked_fill(ignored, 0)
    return SiteArrays(arrays.images[kept], labels[kept], tuple(arrays.cases[index] for index in kept.tolist()))


def load_images(datalist: SiteDatalist, part: str, preprocessing: Preprocessing) -> Tensor:
    """Load a part's images alone, (N, C, S, S) float32 in [0, 1]; labels are not read, whether there are any or not.

    Raises:
        DataError: as `load_part`.
    """
    items = _items(datalist, part)
    images = [
        plain(preprocess_item(datalist, replace(item, label=None), preprocessing)["image"]).to(torch.float32)
        for item in items
    ]
    for item, image in zip(items, images, strict=True):
        if image.shape != images[0].shape:
            reason = f"it is {tuple(image.shape)} after preprocessing and the first is {tuple(images[0].shape)}"
            raise DataError(item.image, reason, "Let the preprocessing resize to one size.")
    return torch.stack(images)


def _items(datalist: SiteDatalist, part: str) -> tuple[Item, ...]:
    items = tuple(datalist.parts.get(part, ()))
    if not items:
        raise DataError(datalist.root, f"its {part} part is empty", f'List images under "{part}" in datalist.json.')
    return items


def preprocess_item(datalist: SiteDatalist, item: Item, preprocessing: Preprocessing) -> dict[str, Any]:
    """Run one item through ``preprocessing``; MONAI's wrapped errors come out as DataError with the file's name."""
    try:
        return dict(preprocessing(datalist.document(item)))
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, DSFedMedError):
            cause = cause.__cause__
        if cause is not None:
            raise cause from error
        inner = error.__cause__ or error
        raise DataError(item.image, f"preprocessing failed ({inner})", "Check the file and the transforms.") from error


def plain(value: Any) -> Tensor:
    """Return a plain tensor, without MONAI's metadata."""
    tensor = value.as_tensor() if hasattr(value, "as_tensor") else torch.as_tensor(value)
    return tensor.detach().contiguous()


def check_label_values(item: Item, label: Tensor, declared: dict[int, str], ignores: bool = False) -> None:
    """Raise DataError when ``label`` holds a value that the datalist does not declare.

    ``IGNORE`` is allowed where the datalist ``ignores`` a value of its files.
    """
    unknown = sorted(set(torch.unique(label).tolist()) - set(declared) - ({IGNORE} if ignores else set()))
    if unknown:
        raise DataError(item.label or item.image, unknown_values(unknown, declared), unknown_values_fix(unknown))


def unknown_values(unknown: Sequence[float], declared: dict[int, str]) -> str:
    """Word the reason for undeclared label values."""
    shown = ", ".join(f"{value:g}" for value in unknown[:8]) + (", ..." if len(unknown) > 8 else "")
    return f"label values {shown} are not declared (datalist.json has {', '.join(map(str, declared))})"


def unknown_values_fix(unknown: Sequence[float]) -> str:
    """Word the fix for undeclared label values."""
    if list(unknown) == [255]:
        return 'For 0/255 masks add "label_map": {"255": 1} to datalist.json.'
    return 'Declare them under "labels", or rewrite them with "label_map"; JPEG masks must become PNG.'
