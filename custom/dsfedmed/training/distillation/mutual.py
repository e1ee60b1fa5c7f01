# SPDX-License-Identifier: Apache-2.0
"""Learnability-guided mutual distillation of teacher and light network at the server, over the synthetic set.

Source: DSFedMed, arXiv 2601.16073. Each epoch:

1. score the whole pool without gradients: L_GT (teacher on the sample's mask) and L_KL (teacher against light network);
2. s_i = lambda (-L_GT_i) + (1 - lambda) L_KL_i, then select by ``DistillationConfig.rule``;
3. forward only the selected samples with gradients; decoder and light network learn from masks and from each other.

The encoder is frozen and its embeddings are cached (`dsfedmed.training.distillation.embeddings`), so the teacher costs
one decoder pass.

Deviations: the released code forwards every sample with gradients and selects inside each mini-batch; that is rule
"batch_quantile" here. Both networks' logits are compared on one grid: the teacher's low-resolution one (``grid``
"teacher", as released, where both give 256 x 256), the light network's logits being resampled to it bilinearly, or the
light network's (``grid`` "student"), the teacher's being resampled; a light network that is a SAM too gives its own
low-resolution logits for the former. No augmentation, constant learning rate, Adam 1e-4
for either network, as released. Both networks' forward and backward passes may run in a shorter number format
(``autocast``; the released code runs in float32); logits, losses, weights and updates stay float32.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from dsfedmed.algorithms.distillation import (
    DistillationConfig,
    DistillationLosses,
    mutual_distillation_loss,
    select_from_pool,
    select_in_batch,
)
from dsfedmed.algorithms.learnability import learnability_score
from dsfedmed.algorithms.losses import bce_per_sample, symmetric_kl_per_sample
from dsfedmed.data.labels import to_channels
from dsfedmed.errors import DSFedMedError
from dsfedmed.seeds import derive_seed, generator
from dsfedmed.training.distillation.config import ServerDistillationConfig
from dsfedmed.training.distillation.embeddings import Embeddings
from dsfedmed.training.distillation.record import DistillationRecord, PoolScores, epoch_record
from dsfedmed.training.pool import (
    Pool,
    Teacher,
    at_size,
    coarse_logits,
    device_of,
    in_memory,
    index_batches,
    mask_at_size,
)
from dsfedmed.training.precision import autocast, gradient_scaler
from dsfedmed.training.teacher.adapt import trainable_parameters


@dataclass
class MutualDistiller:
    """Teacher, light network and their optimisers; keeps its state over interleaved calls of ``run``.

    Attributes:
        teacher: its decoder learns; its encoder is only read through the embeddings.
        light: images (N, C, S, S) to logits (N, K, S, S).
        pool: the synthetic set; decoded once and kept in memory where that takes at most 2 GiB.
        embeddings: the teacher's, of the same samples in the same order.
        num_classes: K.
        nested: how label maps turn into K channels.
        config: losses and selection.
        server: batches, learning rates, who learns.
        epoch: epochs done so far; set it when resuming. Float16's loss scale starts anew then.
    """

    teacher: Teacher
    light: nn.Module
    pool: Pool
    embeddings: Embeddings
    num_classes: int
    nested: bool = True
    config: DistillationConfig = field(default_factory=DistillationConfig)
    server: ServerDistillationConfig = field(default_factory=ServerDistillationConfig)
    epoch: int = 0

    def __post_init__(self) -> None:
        """Build the two optimisers; refuse embeddings of another set."""
        if len(self.embeddings) != len(self.pool):
            reason = f"{len(self.embeddings)} embeddings for {len(self.pool)} samples"
            raise DSFedMedError("mutual distillation", reason, "Open the embeddings with the sealed set's hash")
        self.pool = in_memory(self.pool)
        decoder = trainable_parameters(self.teacher, "decoder")
        self.teacher_optimizer = torch.optim.Adam(decoder, lr=self.server.teacher_learning_rate)
        self.student_optimizer = torch.optim.Adam(self.light.parameters(), lr=self.server.student_learning_rate)
        self.scaler = gradient_scaler(device_of(self.light), self.server.autocast)
        self._overflows = 0

    def run(
        self, epochs: int, seed: int, on_epoch: Callable[[DistillationRecord], None] | None = None
    ) -> list[DistillationRecord]:
        """Distil for ``epochs`` more epochs; order and draws depend on ``seed`` and the epoch's number only.

        Raises:
            DSFedMedError: a score or loss is not finite.
        """
        records = []
        with _memory_format(self.light, self.server.channels_last):
            for _ in range(epochs):
                record = self._run_epoch(generator(derive_seed(seed, "distil", self.epoch)))
                self.epoch += 1
                records.append(record)
                if on_epoch is not None:
                    on_epoch(record)
        return records

    @torch.no_grad()
    def score(self) -> PoolScores:
        """Score every sample of the pool, without gradients."""
        self._set_mode(training=False)
        parts = []
        for batch in index_batches(range(len(self.pool)), self.server.score_batch_size):
            teacher, student, target = self._forward(batch, teacher_learns=False, student_learns=False)
            teacher_loss = bce_per_sample(teacher, target, self.config.pos_weight)
            student_loss = bce_per_sample(student, target, self.config.pos_weight)
            disagreement = symmetric_kl_per_sample(teacher, student, self.config.temperature)
            parts.append(torch.stack([teacher_loss, student_loss, disagreement]).cpu())
        teacher_loss, student_loss, disagreement = torch.cat(parts, dim=1)
        scores = learnability_score(teacher_loss, disagreement, self.config.lam, self.config.normalise)
        return PoolScores(teacher_loss, student_loss, disagreement, scores)

    def _run_epoch(self, random: torch.Generator) -> DistillationRecord:
        started = time.perf_counter()
        self._overflows = 0
        pool = self.score()
        self._set_mode(training=True)
        chosen: list[int] = []
        parts: list[dict[str, float]] = []
        for batch in self._batches(pool.scores, random):
            losses, selected = self._step(batch)
            chosen += selected
            parts.append(losses.parts)
        seconds = time.perf_counter() - started
        return epoch_record(self.epoch, pool, torch.tensor(chosen), parts, seconds, self._overflows)

    def _batches(self, scores: Tensor, random: torch.Generator) -> Iterator[list[int]]:
        """Yield the batches of an epoch: of the selected samples, or of all of them under the released rule."""
        if self.config.rule == "batch_quantile":
            indices = torch.arange(len(scores))
        else:
            indices = select_from_pool(scores, self.config, random)
        order = torch.randperm(len(indices), generator=random)
        return index_batches(indices[order], self.server.batch_size)

    def _step(self, batch: list[int]) -> tuple[DistillationLosses, list[int]]:
        """Take one gradient step; return its losses and the pool indices whose KL terms were used."""
        learn = self.server.learn
        teacher, student, target = self._forward(batch, learn != "student", learn != "teacher")
        selected = None
        if self.config.rule == "batch_quantile":
            selected = select_in_batch(teacher, student, target, self.config)
        losses = mutual_distillation_loss(teacher, student, target, self.config, selected)
        if not bool(torch.isfinite(losses.total)):
            fix = "Lower the learning rates of server_distillation"
            raise DSFedMedError("mutual distillation", "its loss is not finite", fix)
        self._descend(losses.total)
        return losses, batch if selected is None else [batch[i] for i in selected.tolist()]

    def _descend(self, loss: Tensor) -> None:
        """Move the weights that learn; a float16 overflow in either network leaves that network's step out."""
        optimizers = self._optimizers()
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        for optimizer in optimizers:
            self.scaler.step(optimizer)
        before = self.scaler.get_scale()
        self.scaler.update()
        self._overflows += int(self.scaler.get_scale() < before)

    def _forward(self, batch: list[int], teacher_learns: bool, student_learns: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return both networks' logits and the mask channels of a batch, (n, K, g, g) on the grid of comparison."""
        embeddings = self.embeddings.read(batch, device_of(self.teacher))
        with torch.set_grad_enabled(teacher_learns), autocast(embeddings.device, self.server.autocast):
            teacher = self.teacher.decode(embeddings)
        device = device_of(self.light)
        with torch.set_grad_enabled(student_learns), autocast(device, self.server.autocast):
            student = self._light_logits(self.pool.images(batch).to(device))
        teacher, student = teacher.float(), student.float()
        size = teacher.shape[-2:] if self.server.grid == "teacher" else student.shape[-2:]
        target = to_channels(self.pool.labels(batch), self.num_classes, self.nested).to(device)
        return at_size(teacher.to(device), size), at_size(student, size), mask_at_size(target, size)

    def _light_logits(self, images: Tensor) -> Tensor:
        if self.server.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return coarse_logits(self.light, images) if self.server.grid == "teacher" else self.light(images)

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        pairs = (("teacher", self.teacher_optimizer), ("student", self.student_optimizer))
        return [optimizer for name, optimizer in pairs if self.server.learn in ("both", name)]

    def _set_mode(self, training: bool) -> None:
        self.teacher.train(training and self.server.learn != "student")
        self.light.train(training and self.server.learn != "teacher")


@contextmanager
def _memory_format(network: nn.Module, channels_last: bool) -> Iterator[None]:
    """Lay the weights out channel by channel within the block, so that outside of it they are as files want them."""
    if channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    try:
        yield
    finally:
        if channels_last:
            network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
