# SPDX-License-Identifier: Apache-2.0
"""Adapt the teacher (promptless SAM) to labelled images: the synthetic set, or any other pool.

Source: DSFedMed, arXiv 2601.16073, stage "SAM domain adaptation": SAM is trained on the synthetic pool before the
mutual distillation. The schedule is not published. Loss: BCE with logits + ``dice_weight`` x soft Dice (MONAI's
DiceLoss), on logits at the label's size.

Deviations: soft Dice (the release has BCE with ``pos_weight`` 2 alone: set ``dice_weight`` 0); flips as augmentation
(none in the release); a cosine schedule as an option (constant in the release); ``tune`` says whether the image encoder
learns too ("full"), by low-rank updates ("lora"), or not ("decoder", as in the released distillation). Pixels without
a label are left out of both losses and of the validation.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from monai.losses.dice import DiceLoss
from torch import Tensor, nn

from dsfedmed.algorithms.ignored_pixels import without_ignored
from dsfedmed.algorithms.losses import bce_per_sample
from dsfedmed.data.labels import to_channels
from dsfedmed.devices import to_device
from dsfedmed.errors import ConfigError, DataError, DSFedMedError
from dsfedmed.networks.lora import is_lora, lora
from dsfedmed.seeds import derive_seed, generator
from dsfedmed.training.pool import Pool, Teacher, at_size, device_of, index_batches, is_encoder
from dsfedmed.training.precision import autocast, gradient_scaler, gradient_step
from dsfedmed.training.teacher.config import TeacherConfig


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


def adapt_on_pool(
    teacher: Teacher,
    pool: Pool,
    config: TeacherConfig,
    seed: int,
    nested: bool = True,
    on_epoch: Callable[[TeacherEpoch], None] | None = None,
    validation: Pool | None = None,
) -> list[TeacherEpoch]:
    """Train the teacher in place on a pool read by index: a large synthetic set need not be in memory.

    With ``tune`` "lora" the low-rank updates are merged into the encoder's weights at the end, so that the teacher has
    SAM's keys again.

    Args:
        teacher: its parameters outside ``image_encoder.`` and ``prompt_encoder.`` learn; with ``tune`` "lora" the
            encoder's low-rank updates too, and with "full" all.
        pool: what it learns.
        config: hyper-parameters.
        seed: of order and flips.
        nested: how label maps turn into K channels.
        on_epoch: called after each epoch.
        validation: scored after each epoch.

    Raises:
        DSFedMedError: the loss is not finite.
    """
    history: list[TeacherEpoch] = []
    steps = math.ceil(len(pool) / config.batch_size)
    with _tuned(teacher, config, derive_seed(seed, "lora")):
        run = _Adaptation(teacher, pool, config, nested)
        for epoch in range(config.epochs):
            started = time.perf_counter()
            teacher.train()
            sums = run.epoch(derive_seed(seed, "teacher", epoch))
            dice = None if validation is None else pool_dice(teacher, validation, nested, config.batch_size)
            record = TeacherEpoch(epoch, *sums, steps, time.perf_counter() - started, dice)
            history.append(record)
            if on_epoch is not None:
                on_epoch(record)
    return history


def trainable_parameters(teacher: Teacher, tune: str) -> list[nn.Parameter]:
    """Return the parameters that ``tune`` trains: all ("full"), or all outside the encoders, low-rank updates aside."""
    return [
        value for name, value in teacher.named_parameters() if tune == "full" or not is_encoder(name) or is_lora(name)
    ]


@torch.no_grad()
def pool_dice(teacher: Callable[[Tensor], Tensor], pool: Pool, nested: bool, batch_size: int = 16) -> float:
    """Return the mean Dice in [0, 1] over samples and channels at probability 0.5; empty against empty counts 1.

    Ignored pixels do not count, nor do samples of nothing else.

    Raises:
        DataError: every pixel of the pool is ignored.
    """
    if isinstance(teacher, nn.Module):
        teacher.eval()
    scores = []
    for batch in index_batches(range(len(pool)), batch_size):
        logits = teacher(pool.images(batch).to(device_of(teacher)))
        target = to_channels(pool.labels(batch), logits.shape[1], nested).to(logits.device)
        valid = ~target.isnan()
        predicted = ((at_size(logits, target.shape[-2:]) > 0) & valid).to(target.dtype)
        target = target.nan_to_num(nan=0.0)
        overlap, size = (predicted * target).sum((2, 3)), (predicted + target).sum((2, 3))
        found = torch.where(size > 0, 2 * overlap / size.clamp(min=1), torch.ones_like(size))
        scores.append(found[valid.flatten(1).any(dim=1)])
    scored = torch.cat(scores)
    if not len(scored):
        raise DataError("teacher's validation", "every pixel of its labels is to be ignored", "Label some of it")
    return float(scored.mean())


@contextmanager
def _tuned(teacher: Teacher, config: TeacherConfig, seed: int) -> Iterator[None]:
    """Give the encoder its low-rank updates and its memory-saving mode for as long as the teacher learns."""
    recompute = getattr(teacher, "checkpoint_blocks", None)
    if config.checkpoint_blocks and recompute is None:
        raise ConfigError("teacher.checkpoint_blocks", f"{type(teacher).__name__} has no such mode", "Leave it off")
    low_rank = config.tune == "lora"
    network = cast(nn.Module, teacher)
    with lora(network, config.lora_rank, config.lora_alpha, config.lora_layers, seed) if low_rank else nullcontext():
        if config.checkpoint_blocks and recompute is not None:
            recompute(True)
        try:
            yield
        finally:
            if config.checkpoint_blocks and recompute is not None:
                recompute(False)


class _Adaptation:
    """The teacher with its pool, optimiser, schedule and loss scale, over all epochs."""

    def __init__(self, teacher: Teacher, pool: Pool, config: TeacherConfig, nested: bool) -> None:
        self.teacher, self.pool, self.config, self.nested = teacher, pool, config, nested
        self.device = device_of(teacher)
        trained = trainable_parameters(teacher, config.tune)
        self.optimizer = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=config.weight_decay)
        total = config.epochs * math.ceil(len(pool) / config.batch_size)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, _schedule(config.schedule, total))
        self.scaler = gradient_scaler(self.device, config.autocast)
        self.soft_dice = DiceLoss(sigmoid=True)

    def epoch(self, seed: int) -> tuple[float, float, float]:
        """Run one epoch; return sample means of loss, BCE and soft Dice loss."""
        random = generator(seed)
        sums = torch.zeros(3, dtype=torch.float64)
        for batch in index_batches(torch.randperm(len(self.pool), generator=random), self.config.batch_size):
            images, labels = self.pool.images(batch), self.pool.labels(batch)
            if self.config.flips:
                images, labels = _flip(images, labels, random)
            loss, values = self._loss(images, labels)
            _check_finite(values)
            if gradient_step(loss, self.optimizer, self.scaler):
                self.scheduler.step()
            sums += values * len(batch)
        loss_mean, bce_mean, dice_mean = (sums / len(self.pool)).tolist()
        return loss_mean, bce_mean, dice_mean

    def _loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the batch's loss, and loss, BCE and soft Dice loss as numbers."""
        with autocast(self.device, self.config.autocast):
            logits = _logits(self.teacher, to_device(images, self.device), self.config.tune, labels.shape[-2:])
        logits = logits.float()
        target = to_device(to_channels(labels, logits.shape[1], self.nested), self.device)
        bce = bce_per_sample(logits, target, self.config.pos_weight).mean()
        dice = self.soft_dice(*without_ignored(logits, target))
        loss = bce + self.config.dice_weight * dice
        return loss, torch.stack([loss, bce, dice]).detach().double().cpu()


def _logits(teacher: Teacher, images: Tensor, tune: str, size: torch.Size) -> Tensor:
    """Return logits at the label's size; a frozen encoder keeps no graph."""
    with torch.set_grad_enabled(tune != "decoder"):
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
