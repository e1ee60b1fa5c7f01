# SPDX-License-Identifier: Apache-2.0
"""Adapt the teacher (promptless SAM) to labelled images: the synthetic set, or any other pool.

Source: DSFedMed, arXiv 2601.16073, stage "SAM domain adaptation": SAM is trained on the synthetic pool before the
mutual distillation. The schedule is not published. Loss: BCE with logits + ``dice_weight`` x soft Dice (MONAI's
DiceLoss), on logits at the label's size.

Deviations: soft Dice (the release has BCE with ``pos_weight`` 2 alone: set ``dice_weight`` 0); flips as augmentation
(none in the release); a cosine schedule as an option (constant in the release); ``tune`` says whether the image encoder
learns too ("full") or not ("decoder", as in the released distillation).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from monai.losses.dice import DiceLoss
from torch import Tensor, nn

from dsfedmed.algorithms.losses import bce_per_sample
from dsfedmed.data.labels import to_channels
from dsfedmed.errors import DSFedMedError
from dsfedmed.options import read_options, require, require_choice
from dsfedmed.seeds import derive_seed, generator
from dsfedmed.training.pool import Pool, Teacher, TensorPool, at_size, device_of, index_batches, is_encoder


@dataclass(frozen=True)
class TeacherConfig:
    """Hyper-parameters of the teacher's adaptation.

    Attributes:
        epochs: passes over the pool.
        batch_size: images a step.
        learning_rate: AdamW's, at the start.
        weight_decay: AdamW's.
        schedule: "constant", or "cosine" down to zero over all steps.
        tune: "decoder" freezes the image encoder, "full" trains it too.
        pos_weight: factor of positive pixels in the BCE; the release has 2.
        dice_weight: factor of the soft Dice loss beside the BCE.
        flips: flip images and labels along either axis at random, half of the time each.
        bfloat16: run the forward pass under bfloat16 autocast; weights, loss and update stay float32. About twice as
            fast on CPUs that have it, slower on those that do not.
    """

    epochs: int = 8
    batch_size: int = 16
    learning_rate: float = 3e-4
    weight_decay: float = 1e-4
    schedule: Literal["constant", "cosine"] = "cosine"
    tune: Literal["decoder", "full"] = "full"
    pos_weight: float = 2.0
    dice_weight: float = 1.0
    flips: bool = True
    bfloat16: bool = False

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` naming the first value that is out of range."""
        for name in ("epochs", "batch_size", "learning_rate", "pos_weight"):
            require(getattr(self, name) > 0, f"teacher.{name}", "it is not above 0", "Give a positive number")
        for name in ("weight_decay", "dice_weight"):
            require(getattr(self, name) >= 0, f"teacher.{name}", "it is negative", "Give 0 or more")
        require_choice("teacher.schedule", self.schedule, ("constant", "cosine"))
        require_choice("teacher.tune", self.tune, ("decoder", "full"))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "teacher") -> TeacherConfig:
        """Read a preset's section; an unknown key raises ``ConfigError`` with the nearest valid one."""
        return read_options(cls, values, where)

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class TeacherEpoch:
    """One epoch of the history.

    Attributes:
        epoch: from 0.
        loss: mean over samples of BCE + dice_weight x soft Dice loss.
        bce: its BCE part.
        dice_loss: its soft Dice part, before the weight.
        steps: gradient steps.
        seconds: wall time.
        validation_dice: mean Dice in [0, 1] on the validation pool at the label's size, None without one.
    """

    epoch: int
    loss: float
    bce: float
    dice_loss: float
    steps: int
    seconds: float
    validation_dice: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready values."""
        return asdict(self)


def adapt_teacher(
    teacher: Teacher,
    images: Tensor,
    label_maps: Tensor,
    config: TeacherConfig,
    seed: int,
    nested: bool = True,
    on_epoch: Callable[[TeacherEpoch], None] | None = None,
    validation: tuple[Tensor, Tensor] | None = None,
) -> list[TeacherEpoch]:
    """Train the teacher in place on images (N, C, S, S) and label maps (N, 1, S, S); see ``adapt_on_pool``.

    Args:
        teacher: its parameters outside ``image_encoder.`` and ``prompt_encoder.`` learn; with ``tune`` "full", all.
        images: float32 in [0, 1], or uint8.
        label_maps: uint8, 0..K.
        config: hyper-parameters.
        seed: of order and flips.
        nested: how label maps turn into K channels.
        on_epoch: called after each epoch.
        validation: images and label maps to score after each epoch.

    Raises:
        DSFedMedError: the loss is not finite.
    """
    held_out = None if validation is None else TensorPool(*validation)
    return adapt_on_pool(teacher, TensorPool(images, label_maps), config, seed, nested, on_epoch, held_out)


def adapt_on_pool(
    teacher: Teacher,
    pool: Pool,
    config: TeacherConfig,
    seed: int,
    nested: bool = True,
    on_epoch: Callable[[TeacherEpoch], None] | None = None,
    validation: Pool | None = None,
) -> list[TeacherEpoch]:
    """Train the teacher in place on a pool read by index, so that a large synthetic set need not be in memory."""
    trained = trainable_parameters(teacher, config.tune)
    optimizer = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=config.weight_decay)
    total = config.epochs * math.ceil(len(pool) / config.batch_size)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, _schedule(config.schedule, total))
    history = []
    for epoch in range(config.epochs):
        started = time.perf_counter()
        teacher.train()
        sums = _epoch(teacher, pool, config, derive_seed(seed, "teacher", epoch), nested, optimizer, scheduler)
        dice = None if validation is None else pool_dice(teacher, validation, nested, config.batch_size)
        steps = math.ceil(len(pool) / config.batch_size)
        record = TeacherEpoch(epoch, *sums, steps, time.perf_counter() - started, dice)
        history.append(record)
        if on_epoch is not None:
            on_epoch(record)
    return history


def trainable_parameters(teacher: Teacher, tune: str) -> list[nn.Parameter]:
    """Return the parameters that ``tune`` trains: all, or all outside the image and prompt encoders."""
    return [value for name, value in teacher.named_parameters() if tune == "full" or not is_encoder(name)]


@torch.no_grad()
def pool_dice(teacher: Callable[[Tensor], Tensor], pool: Pool, nested: bool, batch_size: int = 16) -> float:
    """Return the mean Dice in [0, 1] over samples and channels at probability 0.5; empty against empty counts 1."""
    if isinstance(teacher, nn.Module):
        teacher.eval()
    scores = []
    for batch in index_batches(range(len(pool)), batch_size):
        logits = teacher(pool.images(batch).to(device_of(teacher)))
        target = to_channels(pool.labels(batch), logits.shape[1], nested).to(logits.device)
        predicted = (at_size(logits, target.shape[-2:]) > 0).to(target.dtype)
        overlap, size = (predicted * target).sum((2, 3)), (predicted + target).sum((2, 3))
        scores.append(torch.where(size > 0, 2 * overlap / size.clamp(min=1), torch.ones_like(size)))
    return float(torch.cat(scores).mean())


def _epoch(
    teacher: Teacher,
    pool: Pool,
    config: TeacherConfig,
    seed: int,
    nested: bool,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LambdaLR,
) -> tuple[float, float, float]:
    """Run one epoch; return sample means of loss, BCE and soft Dice loss."""
    random = generator(seed)
    device = device_of(teacher)
    soft_dice = DiceLoss(sigmoid=True)
    sums = torch.zeros(3, dtype=torch.float64)
    for batch in index_batches(torch.randperm(len(pool), generator=random), config.batch_size):
        images, labels = pool.images(batch), pool.labels(batch)
        if config.flips:
            images, labels = _flip(images, labels, random)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.bfloat16):
            logits = _logits(teacher, images.to(device), config.tune, labels.shape[-2:])
        logits = logits.float()
        target = to_channels(labels, logits.shape[1], nested).to(device)
        bce = bce_per_sample(logits, target, config.pos_weight).mean()
        dice = soft_dice(logits, target)
        loss = bce + config.dice_weight * dice
        values = torch.stack([loss, bce, dice]).detach().double().cpu()
        _check_finite(values)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        scheduler.step()
        sums += values * len(batch)
    loss_mean, bce_mean, dice_mean = (sums / len(pool)).tolist()
    return loss_mean, bce_mean, dice_mean


def _logits(teacher: Teacher, images: Tensor, tune: str, size: torch.Size) -> Tensor:
    """Return logits at the label's size; a frozen encoder keeps no graph."""
    with torch.set_grad_enabled(tune == "full"):
        embeddings = teacher.encode(images)
    return at_size(teacher.decode(embeddings), size)


def _flip(images: Tensor, labels: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Flip each sample along each axis with probability one half, image and label alike."""
    for axis in (2, 3):
        chosen = (torch.rand(len(images), generator=random) < 0.5).view(-1, 1, 1, 1)
        images = torch.where(chosen, images.flip(axis), images)
        labels = torch.where(chosen, labels.flip(axis), labels)
    return images, labels


def _schedule(kind: str, total: int) -> Callable[[int], float]:
    if kind == "constant":
        return lambda _: 1.0
    return lambda step: 0.5 * (1.0 + math.cos(math.pi * min(step, total) / total))


def _check_finite(values: Tensor) -> None:
    if not bool(torch.isfinite(values).all()):
        raise DSFedMedError("teacher", "its loss is not finite", "Lower teacher.learning_rate or check the images")
