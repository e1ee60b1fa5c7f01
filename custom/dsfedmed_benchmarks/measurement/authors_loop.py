# SPDX-License-Identifier: Apache-2.0
"""The opponent: mutual distillation as the released code of DSFedMed (arXiv 2601.16073) runs it, written again.

In every epoch every batch of the pool goes through the frozen encoder, the decoder and the light network, both learn
from all of its masks, and from each other on the samples that the batch's selection keeps:

    L = 0.9 bce(z_T, y) + 0.9 bce(z_S, y) + 0.1 mean_sel KL(p_S||p_T) + 0.1 mean_sel KL(p_T||p_S)

Nothing is cached and nothing is spared: the selection comes after both forward passes, and the backward pass runs
through all samples. Two Adam optimisers, 1e-4, constant; float32 (``precision`` is ours, to tell apart what the format
and what the way of working gains). Logits of both networks are compared at SAM's low resolution.

Deviation: masks come as label maps and are brought to the logits' grid here, for the release stores them at 256 x 256.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dsfedmed.algorithms.losses import bce_per_sample, bernoulli_kl_released
from dsfedmed.data.labels import to_channels
from dsfedmed.training.pool import Pool, Teacher, at_size, coarse_logits, device_of, index_batches, mask_at_size
from dsfedmed.training.precision import Autocast, autocast
from dsfedmed.training.teacher.adapt import trainable_parameters

QUANTILE = 0.7
RATE = 0.5
NOT_RELIABLE = -1e9
POS_WEIGHT = 2.0
SUPERVISED_WEIGHT = 0.9
KL_WEIGHT = 0.1


@dataclass
class AuthorsLoop:
    """Teacher, light network and their optimisers, run the released way.

    Attributes:
        teacher: its decoder learns; its encoder runs on every image in every epoch.
        light: images (N, C, S, S) to logits (N, K, S, S).
        pool: the synthetic set.
        num_classes: K.
        nested: how label maps turn into K channels.
        batch_size: samples a gradient step; the release has 4.
        learning_rate: Adam's, for both.
        precision: number format of the networks' passes; the release has "off".
    """

    teacher: Teacher
    light: nn.Module
    pool: Pool
    num_classes: int
    nested: bool = True
    batch_size: int = 4
    learning_rate: float = 1e-4
    precision: Autocast = "off"

    def __post_init__(self) -> None:
        """Build the two optimisers."""
        decoder = trainable_parameters(self.teacher, "decoder")
        self.optimizers = (
            torch.optim.Adam(decoder, lr=self.learning_rate),
            torch.optim.Adam(self.light.parameters(), lr=self.learning_rate),
        )

    def epoch(self, random: torch.Generator) -> list[float]:
        """Run one epoch over the whole pool; return the loss of each step."""
        self.teacher.train()
        self.light.train()
        order = torch.randperm(len(self.pool), generator=random)
        return [self.step(batch) for batch in index_batches(order, self.batch_size)]

    def step(self, batch: list[int]) -> float:
        """Take one gradient step on these samples and return its loss."""
        teacher, student, target = self.forward(batch)
        teacher_kl = bernoulli_kl_released(student, teacher)
        student_kl = bernoulli_kl_released(teacher, student)
        teacher_loss = bce_per_sample(teacher, target, POS_WEIGHT)
        student_loss = bce_per_sample(student, target, POS_WEIGHT)
        informative = (teacher_kl + student_kl).flatten(1).mean(dim=1)
        chosen = authors_selection(teacher_loss.detach(), student_loss.detach(), informative.detach())
        supervised = teacher_loss.mean() + student_loss.mean()
        mutual = teacher_kl[chosen].mean() + student_kl[chosen].mean()
        loss = SUPERVISED_WEIGHT * supervised + KL_WEIGHT * mutual
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return float(loss.detach())

    def forward(self, batch: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Return both networks' logits and the mask channels, (n, K, h, w) on the teacher's grid."""
        device = device_of(self.teacher)
        images = self.pool.images(batch).to(device)
        with torch.no_grad(), autocast(device, self.precision):
            embeddings = self.teacher.encode(images)
        with autocast(device, self.precision):
            teacher = self.teacher.decode(embeddings)
            student = coarse_logits(self.light, images)
        teacher, student = teacher.float(), student.float()
        target = to_channels(self.pool.labels(batch), self.num_classes, self.nested).to(device)
        size = teacher.shape[-2:]
        return teacher, at_size(student, size), mask_at_size(target, size)


def authors_selection(teacher_loss: Tensor, student_loss: Tensor, informative: Tensor) -> Tensor:
    """Return the indices (k,) of the samples that the batch (B,) keeps for the divergence."""
    reliable = (teacher_loss <= torch.quantile(teacher_loss, QUANTILE)) & (
        student_loss <= torch.quantile(student_loss, QUANTILE)
    )
    if int(reliable.sum()) == 0:
        reliable[:] = True
    ranked = informative.masked_fill(~reliable, NOT_RELIABLE)
    count = min(max(int(RATE * len(ranked)), 1), len(ranked))
    return torch.topk(ranked, count).indices
