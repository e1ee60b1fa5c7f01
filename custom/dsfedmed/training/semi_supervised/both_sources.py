# SPDX-License-Identifier: Apache-2.0
"""Gradient steps on a public labelled set and on a site's own unlabelled images, whatever these are to teach.

A step is on a batch of each (``Passes.public`` 0), or the passes over the public set come first, and those over the own
images then. What a batch of own images teaches is said by an `OwnRule`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dsfedmed.data.batches import augmented_batches
from dsfedmed.errors import DataError
from dsfedmed.seeds import derive_seed, global_draws
from dsfedmed.training.pool import device_of
from dsfedmed.training.precision import gradient_scaler
from dsfedmed.training.semi_supervised.public import PublicSource, public_loss, train_on_public
from dsfedmed.training.single_channel import fast_single_channel_convolutions
from dsfedmed.training.steps import descend, endless_batches
from dsfedmed.training.task import Batch, TrainingTask


class OwnRule(ABC):
    """What own images teach, which have no labels.

    Attributes:
        teach: whether anything is learned from the batch whose loss was asked for last; without, a step on it would
            only repeat its momentum.
    """

    teach = True

    @abstractmethod
    def loss(self, network: nn.Module, batch: Batch, seed: int, task: TrainingTask) -> Tensor:
        """Return the weighted loss of a batch, whose "image" is the weak view; ``seed`` is of its strong one."""

    def public_loss(self, network: nn.Module, batch: Batch, task: TrainingTask) -> Tensor:
        """Return the loss of a batch of the public set."""
        return public_loss(network, batch, task)

    def stepped(self, network: nn.Module) -> None:
        """Take note of the network after a step on own images."""
        del network


@dataclass(frozen=True)
class UnlabelledSource:
    """A site's unlabelled images (N, C, S, S) and SAM's probabilities of them (N, K, S, S), float32 in [0, 1].

    Without SAM, as in the methods that SAM-Fed is held against, ``teacher`` is None.
    """

    images: Tensor
    teacher: Tensor | None = None


@dataclass(frozen=True)
class Passes:
    """One call.

    Attributes:
        epochs: passes over the own images.
        seed: of order, augmentation and dropout.
        public: passes over the public set before them (paper); 0 for a public batch beside every own one.
    """

    epochs: int
    seed: int
    public: int = 0


@dataclass(frozen=True)
class Steps:
    """What a call did: means over the steps on either kind of images, and the gradient steps in all."""

    public_loss: float
    own_loss: float
    steps: int


def train_on_both(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    public: PublicSource,
    own: UnlabelledSource,
    task: TrainingTask,
    rule: OwnRule,
    passes: Passes,
) -> Steps:
    """Train ``network`` in place.

    Args:
        network: images (N, C, S, S) to logits (N, K, S, S).
        optimizer: over the network's parameters; its state is kept from call to call.
        public: the labelled set.
        own: the site's images.
        task: what stays the same in every round.
        rule: what the own images teach in this one.
        passes: how long, and from which seed.

    Raises:
        DataError: there are no images of one kind, or SAM's answers do not pair up with the own images.
        DSFedMedError: the loss is not finite; the network keeps the weights of the step before.
    """
    _require_both(public, own, task)
    seed, device = passes.seed, device_of(network)
    labelled = endless_batches(public.pairs, public.advice, task, derive_seed(seed, "public"))
    scaler = gradient_scaler(device, task.precision)
    sums, steps, total = [0.0, 0.0], 0, passes.epochs * math.ceil(len(own.images) / task.batch_size)
    before = taken = 0
    network.train()
    with global_draws(derive_seed(seed, "dropout"), device), fast_single_channel_convolutions(network):
        if passes.public:
            drawn = derive_seed(seed, "public")
            sums[0], before = train_on_public(
                network, optimizer, public, task, passes.public, drawn, loss=rule.public_loss
            )
        for epoch in range(passes.epochs):
            for batch in _own_batches(own, task, derive_seed(seed, "own", epoch)):
                value = rule.loss(network, batch, derive_seed(seed, "strong", steps), task)
                sums[1] += float(value.detach())
                if not before:
                    first = rule.public_loss(network, next(labelled), task)
                    sums[0], value = sums[0] + float(first.detach()), first + value
                if not before or rule.teach:
                    descend(value, optimizer, scaler, task.where, before + steps)
                    rule.stepped(network)
                    taken += 1
                steps += 1
    return Steps(sums[0] / (before or total), sums[1] / total, before + taken)


def _require_both(public: PublicSource, own: UnlabelledSource, task: TrainingTask) -> None:
    answers = len(own.images) if own.teacher is None else len(own.teacher)
    if not len(public.images) or not len(own.images) or len(own.images) != answers:
        told = "" if own.teacher is None else f", {answers} answers of SAM"
        reason = f"{len(public.images)} public, {len(own.images)} own images{told}"
        raise DataError(task.where, reason, "Give both kinds, and one answer for each own image where SAM is asked")


def _own_batches(own: UnlabelledSource, task: TrainingTask, seed: int) -> Iterator[Batch]:
    """Yield one epoch of own images with SAM's answers; their label maps are blank."""
    blank = torch.zeros(len(own.images), 1, *own.images.shape[2:], dtype=torch.uint8)
    return augmented_batches(
        own.images, blank, task.augmentation, task.batch_size, seed, extra=own.teacher, workers=task.workers
    )
