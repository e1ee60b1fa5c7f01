# SPDX-License-Identifier: Apache-2.0
"""Give the small teacher a foundation: class-agnostic foreground segmentation on labelled images of other organs.

The paper's teacher starts from SAM's official weights. The small one has none, so that it is pre-trained here on
public (or made-up) labelled folders: any label above 0 is foreground, BCE + Dice, AdamW, warm-up and cosine decay. The
result has SAM's keys and one class; a federation of K classes loads all but the class head.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.losses import DiceCELoss
from monai.transforms import Compose, Resized
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from dsfedmed.algorithms.ignored_pixels import valid_mean, without_ignored
from dsfedmed.data import LoadSiteImaged
from dsfedmed.data.arrays import load_part
from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.labels import IGNORE, valid_pixels
from dsfedmed.errors import DataError
from dsfedmed.networks.promptless_sam import PromptlessSam, build_promptless_sam
from dsfedmed.seeds import derive_seed, generator
from dsfedmed.training.teacher.pretrain_augmentation import augment
from dsfedmed.training.teacher.pretrain_config import PretrainConfig
from dsfedmed.training.teacher.pretrain_state import PretrainState

KEEP_EVERY = 500
LOSS = DiceCELoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0)
CACHE_MARGIN = 1.25  # images are kept larger than the network sees them, so that zooming in keeps detail


@dataclass(frozen=True)
class Folder:
    """One labelled folder in memory: images uint8 (N, 3, T, T), masks uint8 (N, 1, T, T) in {0, 1, ``IGNORE``}."""

    name: str
    images: Tensor
    masks: Tensor
    held_out_images: Tensor
    held_out_masks: Tensor


@dataclass(frozen=True)
class PretrainResult:
    """What came out: steps taken, seconds, last mean loss and held-out Dice (fractions) in all and by folder."""

    steps: int
    seconds: float
    loss: float
    dice: float
    dice_by_folder: dict[str, float]


@dataclass(frozen=True)
class Progress:
    """One progress report; ``seconds_left`` is an estimate."""

    step: int
    steps: int
    loss: float
    seconds_left: float


def load_folders(paths: Sequence[Path], image_size: int) -> list[Folder]:
    """Load site folders for pre-training, with their validation part held out.

    Raises:
        DataError: no folder, or a folder without training or validation images.
    """
    if not paths:
        raise DataError("pretrain data", "no folder given", "Name at least one folder with a datalist.json.")
    side = math.ceil(image_size * CACHE_MARGIN)
    preprocessing = Compose(
        [
            LoadSiteImaged(keys=("image", "label"), channels=3),
            Resized(
                keys=("image", "label"),
                spatial_size=(side, side),
                mode=("bilinear", "nearest"),
                anti_aliasing=(True, False),
            ),
        ]
    )
    folders = []
    for path in paths:
        datalist = load_datalist(path)
        training = load_part(datalist, "training", preprocessing)
        held_out = load_part(datalist, "validation", preprocessing)
        folders.append(
            Folder(
                datalist.name,
                _bytes(training.images),
                _foreground(training.labels),
                _bytes(held_out.images),
                _foreground(held_out.labels),
            )
        )
    return folders


def pretrain(
    folders: Sequence[Folder],
    config: PretrainConfig,
    on_progress: Callable[[Progress], None] | None = None,
    kept: tuple[Mapping[str, Any], Mapping[str, Tensor]] | None = None,
    keep: Callable[[PretrainState], None] | None = None,
) -> tuple[PromptlessSam, PretrainResult]:
    """Pre-train a teacher of one class on ``folders``.

    Folders are drawn with the square root of their sizes, so that a large one does not crowd out the others.

    Args:
        folders: what `load_folders` gave.
        config: settings.
        on_progress: called after each step.
        kept: numbers and tensors of a state to go on from, of the same folders and settings.
        keep: called every ``KEEP_EVERY`` steps with the state to go on from should the run be interrupted.
    """
    state = _start(config)
    if kept is not None:
        state.restore(*kept)
    before, started = state.seconds, time.monotonic()
    state.network.train()
    while (done := _progress(state.step, state.seconds, config)) < 1.0:
        _step(state, folders, config, done)
        state.seconds = before + time.monotonic() - started
        if on_progress is not None:
            share = min(max(_progress(state.step, state.seconds, config), 1e-9), 1.0)  # a step may outlast the limit
            on_progress(Progress(state.step, config.steps, state.loss, state.seconds * (1.0 - share) / share))
        if keep is not None and state.step % KEEP_EVERY == 0:
            keep(state)
    result = _result(state, folders, config)
    return state.network.cpu(), result


def _start(config: PretrainConfig) -> PretrainState:
    weights = derive_seed(config.seed, "pretrain", "weights")
    network = build_promptless_sam(config.variant, config.image_size, 1, seed=weights).to(config.device)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay
    )
    return PretrainState(network, optimizer, generator(derive_seed(config.seed, "pretrain")))


def _step(state: PretrainState, folders: Sequence[Folder], config: PretrainConfig, done: float) -> None:
    for group in state.optimizer.param_groups:
        group["lr"] = config.learning_rate * schedule(done, config.warm_up)
    images, masks = _batch(folders, config, state.draws)
    with torch.autocast(torch.device(config.device).type, torch.bfloat16, enabled=config.bfloat16):
        logits = state.network(images.to(config.device))
    loss = pretrain_loss(logits.float(), masks.to(config.device))
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), 1.0)
    state.optimizer.step()
    state.step += 1
    state.loss = loss.item() if math.isnan(state.loss) else 0.98 * state.loss + 0.02 * loss.item()


def pretrain_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return BCE + Dice of logits and masks (N, 1, S, S) in {0, 1}, without the pixels marked ``IGNORE``."""
    target = masks.masked_fill(masks == IGNORE, torch.nan)
    filled, known = without_ignored(logits, target)
    if filled is logits:
        whole: Tensor = LOSS(logits, masks)
        return whole
    bce = binary_cross_entropy_with_logits(logits, known, reduction="none")
    dice: Tensor = LOSS.dice(filled, known)
    return dice + valid_mean(bce, target)


def _foreground(labels: Tensor) -> Tensor:
    """Return uint8 masks: 1 for every class, and the ignored pixels as they are."""
    return (labels > 0).to(torch.uint8).masked_fill(~valid_pixels(labels), IGNORE)


def _result(state: PretrainState, folders: Sequence[Folder], config: PretrainConfig) -> PretrainResult:
    dice = {folder.name: held_out_dice(state.network, folder, config) for folder in folders}
    counts = [len(folder.held_out_images) for folder in folders]
    mean = sum(d * n for d, n in zip(dice.values(), counts, strict=True)) / sum(counts)
    return PretrainResult(state.step, state.seconds, state.loss, mean, dice)


def schedule(done: float, warm_up: float) -> float:
    """Return the learning-rate factor at share ``done`` of the run: linear warm-up, then half a cosine to 0."""
    if done < warm_up:
        return max(done, 1e-3) / warm_up
    return 0.5 * (1.0 + math.cos(math.pi * (done - warm_up) / (1.0 - warm_up)))


@torch.no_grad()
def held_out_dice(network: PromptlessSam, folder: Folder, config: PretrainConfig) -> float:
    """Return the mean Dice over a folder's held-out images, in grey, at network size (threshold 0.5).

    Ignored pixels do not count, nor do images of nothing else.

    Raises:
        DataError: every pixel is ignored.
    """
    network.eval()
    size = (config.image_size, config.image_size)
    scores = []
    for start in range(0, len(folder.held_out_images), 32):
        images = folder.held_out_images[start : start + 32].float().div(255.0).mean(1, keepdim=True)
        images = torch.nn.functional.interpolate(images, size=size, mode="bilinear", antialias=True)
        masks = torch.nn.functional.interpolate(folder.held_out_masks[start : start + 32], size=size, mode="nearest")
        valid = valid_pixels(masks)
        found = (network(images.to(config.device)).cpu() > 0) & valid
        drawn = (masks > 0) & valid
        overlap = (found & drawn).sum((1, 2, 3))
        total = found.sum((1, 2, 3)) + drawn.sum((1, 2, 3))
        dice = torch.where(total > 0, 2.0 * overlap / total.clamp_min(1), torch.ones(len(total)))
        scores.append(dice[valid.flatten(1).any(dim=1)])
    network.train()
    scored = torch.cat(scores)
    if not len(scored):
        raise DataError(folder.name, "every pixel of its validation labels is to be ignored", "Label some of it.")
    return float(scored.mean())


def _batch(
    folders: Sequence[Folder], config: PretrainConfig, torch_generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    sizes = torch.tensor([len(folder.images) for folder in folders], dtype=torch.float64)
    chosen = torch.multinomial(sizes.sqrt(), config.batch_size, replacement=True, generator=torch_generator)
    images, masks = [], []
    for index in chosen.tolist():
        sample = int(torch.randint(len(folders[index].images), (1,), generator=torch_generator))
        images.append(folders[index].images[sample])
        masks.append(folders[index].masks[sample])
    return augment(
        torch.stack(images).float().div(255.0), torch.stack(masks).float(), config.image_size, torch_generator
    )


def _progress(step: int, seconds: float, config: PretrainConfig) -> float:
    by_clock = 0.0 if config.minutes is None else seconds / (60.0 * config.minutes)
    return max(step / config.steps, by_clock)


def _bytes(images: Tensor) -> Tensor:
    return images.mul(255.0).round().clamp(0, 255).to(torch.uint8)
