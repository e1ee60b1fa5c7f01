# SPDX-License-Identifier: Apache-2.0
"""The one evaluation protocol: every image at its own size, sigmoid, then 0.5.

The network sees the bundle's preprocessing; its logits are resized (bilinear) to the image's own size,
the probability is thresholded at 0.5 there and compared with the label as it was drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import interpolate

from dsfedmed.data.arrays import SiteArrays, check_label_values, plain, preprocess_item
from dsfedmed.data.datalist import Item, SiteDatalist
from dsfedmed.data.labels import to_channels, valid_pixels
from dsfedmed.data.reading import LoadSiteImaged
from dsfedmed.errors import ConfigError, DataError
from dsfedmed.evaluation.legacy import LegacyScores, legacy_eval
from dsfedmed.evaluation.metrics import CaseMetrics, case_metrics

Preprocessing = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class ForwardPass:
    """How a network is run to be scored.

    Attributes:
        num_classes: K, the channels that it must answer with.
        batch_size: images at once.
        device: where it runs; the network must be there.
    """

    num_classes: int
    batch_size: int = 32
    device: str | torch.device = "cpu"


@dataclass(frozen=True)
class ScoredImage:
    """One evaluated image, handed to ``on_image`` while it is in memory; it never leaves the site.

    Attributes:
        index: position in the part.
        item: the datalist's item.
        target: (K, X, Y) bool at the label's own size; ignored pixels are False.
        prediction: (K, X, Y) bool, the same size, ignored pixels included.
        metrics: what it scored.
        drawn: for each class, whether the label has it.
        found: for each class, whether the prediction has it where the label is not ignored.
    """

    index: int
    item: Item
    target: torch.Tensor
    prediction: torch.Tensor
    metrics: CaseMetrics
    drawn: tuple[bool, ...]
    found: tuple[bool, ...]


def evaluate(
    network: torch.nn.Module,
    datalist: SiteDatalist,
    part: str,
    preprocessing: Preprocessing,
    forward: ForwardPass,
    on_image: Callable[[ScoredImage], None] | None = None,
) -> list[CaseMetrics]:
    """Score a network on one part of a site, one entry per image in the datalist's order.

    Several images of one patient stay several entries that share ``case``; a volume is scored slice by
    slice, as the authors do (not as a volume). Pixels that the label ignores do not count (see ``case_metrics``).

    Args:
        network: (N, C, S, S) images in [0, 1] to (N, K, S, S) logits; left in the mode it came in.
        datalist: the site.
        part: "training", "validation" or "test".
        preprocessing: the bundle's transform: loads and resizes an item to a (C, S, S) image in [0, 1].
        forward: classes, batches and device.
        on_image: called with every scored image, for pictures.

    Raises:
        DataError: the part is empty, or an image or label cannot be read, is missing, has undeclared values or
            nothing but ignored pixels.
        ConfigError: the network does not answer with K channels.
    """
    items = datalist.parts.get(part, ())
    if not items:
        raise DataError(datalist.name, f"the part '{part}' has no images", f"Add items to '{part}' in its datalist.")
    load_label = LoadSiteImaged(keys=("label",))
    numbers = {name: number for number, name in enumerate(dict.fromkeys(item.case for item in items))}
    scored: list[CaseMetrics] = []
    for batch in _batches(items, forward.batch_size):
        images = torch.stack([_image(datalist, item, preprocessing) for item in batch])
        logits = _forward(network, images, forward)
        for item, answer in zip(batch, logits, strict=True):
            target, valid = _own_label(item, load_label, datalist, forward.num_classes)
            prediction = resize_logits(answer[None], (target.shape[1], target.shape[2]))[0] > 0  # sigmoid > 0.5
            metrics = case_metrics(prediction, target, numbers[item.case], valid)
            scored.append(metrics)
            if on_image is not None:
                found = prediction if valid is None else prediction & valid
                there = _has_class(target), _has_class(found)
                on_image(ScoredImage(len(scored) - 1, item, target, prediction, metrics, *there))
    return scored


def quick_dice(
    network: torch.nn.Module,
    arrays: SiteArrays,
    forward: ForwardPass,
    nested: bool = True,
) -> float:
    """Return the mean Dice (fraction) over images and classes at network size, for per-round validation.

    Both masks empty counts 1. It equals the mean of ``case_metrics``' Dice on the same masks. Ignored pixels do not
    count, nor do images of nothing else.

    Args:
        network: (N, C, S, S) to (N, K, S, S) logits.
        arrays: preprocessed images and label maps of one part.
        forward: classes, batches and device.
        nested: whether label values are nested (see ``data.labels``).

    Raises:
        DataError: there are no images, or none with a label.
        ConfigError: the network does not answer with K channels.
    """
    sums, scored = torch.zeros((), dtype=torch.float64), 0
    for logits, target in _array_batches(network, arrays, forward, nested):
        predicted, true = (logits > 0) & ~target.isnan(), target > 0.5
        inter = (predicted & true).flatten(2).sum(-1).double()
        sizes = predicted.flatten(2).sum(-1).double() + true.flatten(2).sum(-1).double()
        sums += torch.where(sizes > 0, 2 * inter / sizes.clamp(min=1), torch.ones_like(inter)).mean(1).sum()
        scored += len(logits)
    return float(sums / scored)


def legacy_scores(
    network: torch.nn.Module,
    arrays: SiteArrays,
    forward: ForwardPass,
    nested: bool = True,
) -> LegacyScores:
    """Return the authors' protocol (``legacy_eval``) at network size over one part; arguments of ``quick_dice``."""
    dice, iou, scored = 0.0, 0.0, 0
    for logits, target in _array_batches(network, arrays, forward, nested):
        scores = legacy_eval(logits, target)
        dice += scores.dice * len(logits)  # the last batch may be smaller
        iou += scores.iou * len(logits)
        scored += len(logits)
    return LegacyScores(dice / scored, iou / scored)


def predict_probabilities(
    network: torch.nn.Module, images: torch.Tensor, num_classes: int, batch_size: int
) -> torch.Tensor:
    """Return probabilities (N, K, S, S), float32 on the CPU, of images (N, C, S, S), on the network's device.

    Raises:
        ConfigError: the network does not answer with K channels.
    """
    forward = ForwardPass(num_classes, batch_size, next(network.parameters()).device)
    return torch.cat([_forward(network, batch, forward).sigmoid() for batch in images.split(batch_size)])


def resize_logits(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize (N, K, S, S) logits to (N, K, X, Y), bilinear; MONAI's (x, y) order on both sides."""
    if tuple(logits.shape[2:]) == size:
        return logits
    return interpolate(logits, size=size, mode="bilinear", align_corners=False)


def _array_batches(
    network: torch.nn.Module, arrays: SiteArrays, forward: ForwardPass, nested: bool
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield (logits, mask channels) of consecutive slices of the arrays, without images that have no labelled pixel."""
    labelled = valid_pixels(arrays.labels).flatten(1).any(dim=1)
    if not bool(labelled.any()):
        raise DataError("validation", "there are no labelled images to score", "Add items to the part in the datalist.")
    images, labels = arrays.images, arrays.labels
    if not bool(labelled.all()):
        images, labels = images[labelled], labels[labelled]
    for start in range(0, len(images), forward.batch_size):
        chosen = slice(start, start + forward.batch_size)
        logits = _forward(network, images[chosen], forward)
        yield logits, to_channels(labels[chosen], forward.num_classes, nested)


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Consecutive slices of ``size`` items."""
    return (items[start : start + size] for start in range(0, len(items), size))


def _image(datalist: SiteDatalist, item: Item, preprocessing: Preprocessing) -> torch.Tensor:
    """Return the network's input (C, S, S) as a plain tensor."""
    if item.label is None:
        raise DataError(item.image, "has no label to score against", "Name its label in the datalist.")
    return plain(preprocess_item(datalist, item, preprocessing)["image"]).float()


def _own_label(
    item: Item, load: LoadSiteImaged, datalist: SiteDatalist, num_classes: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the label at its own size as (K, X, Y) bool, and where it has one, (1, X, Y) bool; None for everywhere."""
    fields: Any = datalist.document(item)
    label_map = plain(load(fields)["label"])
    check_label_values(item, label_map, datalist.labels, datalist.ignore is not None)
    target = to_channels(label_map[None], num_classes, datalist.nested)[0] > 0.5
    if datalist.ignore is None:
        return target, None
    valid = valid_pixels(label_map)
    if not bool(valid.any()):
        fix = "Take the item out of the part: there is nothing to score."
        raise DataError(item.label or item.image, "every pixel of the label is to be ignored", fix)
    return target, valid


def _has_class(masks: torch.Tensor) -> tuple[bool, ...]:
    """Return for each class of (K, X, Y) bool masks whether it has a pixel."""
    return tuple(bool(mask.any()) for mask in masks)


def _forward(network: torch.nn.Module, images: torch.Tensor, forward: ForwardPass) -> torch.Tensor:
    """One forward pass in evaluation mode without gradients; logits come back on the CPU as float32."""
    modes = [(module, module.training) for module in network.modules()]  # parts may be frozen in eval mode
    network.eval()
    try:
        with torch.no_grad():
            logits = network(images.to(forward.device)).float().cpu()
    finally:
        for module, training in modes:
            module.training = training
    if logits.ndim != 4 or logits.shape[1] != forward.num_classes:
        raise ConfigError(
            type(network).__name__,
            f"answers with shape {tuple(logits.shape)}, expected {forward.num_classes} channels",
            "Set the bundle's out_channels to the number of classes.",
        )
    return torch.as_tensor(logits)
