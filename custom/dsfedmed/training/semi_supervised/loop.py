# SPDX-License-Identifier: Apache-2.0
"""Train a site's light network on a public labelled set and its own unlabelled images (SAM-Fed, arXiv 2511.14302).

The loss of a batch of each:

    L = L_sup(public) + lambda_u L_SAM(own) + lambda_g KL( sg M_G(weak) || q(strong) )     homogeneous sites
    L = structure(public) + 10 KL_2(server -> q) gate + lambda_u L_SAM(own)               heterogeneous sites (RF)

with L_SAM of `dsfedmed.algorithms.agreement`. SAM is not run here: its probabilities of the own images were computed
once, and move with the image under augmentation. The weights of the terms are [inferred]; the federated transfer is
gated for the whole round by which of the two, the global network or the site's own of the round before, is better on
the public set.

Order: the paper trains on the public set first, and then on the own images (``Passes.public``,
`dsfedmed.training.semi_supervised.public`); its presets do. One step on both at once is ours, and stays the default of
the small presets, whose figures were measured with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dsfedmed.algorithms.agreement import (
    AgreementConfig,
    AgreementState,
    agreement_loss,
    refine,
    update_agreement,
)
from dsfedmed.algorithms.losses import bernoulli_kl
from dsfedmed.data.batches import augmented_batches
from dsfedmed.data.strong_augmentation import strong_view
from dsfedmed.devices import to_device
from dsfedmed.errors import DataError
from dsfedmed.seeds import derive_seed, global_draws
from dsfedmed.training.pool import device_of
from dsfedmed.training.precision import autocast, gradient_scaler
from dsfedmed.training.semi_supervised.public import PublicSource, public_loss, train_on_public
from dsfedmed.training.single_channel import fast_single_channel_convolutions
from dsfedmed.training.steps import descend, endless_batches
from dsfedmed.training.task import Batch, TrainingTask


@dataclass(frozen=True)
class UnlabelledSource:
    """A site's unlabelled images (N, C, S, S) and SAM's probabilities of them (N, K, S, S), float32 in [0, 1]."""

    images: Tensor
    teacher: Tensor


@dataclass(frozen=True)
class UnlabelledTerms:
    """The loss terms of the unlabelled images in one call.

    Attributes:
        rule: which supervision a pixel gets.
        state: the agreement before the call.
        weight: lambda_u after its ramp-up; 0 leaves SAM out.
        shared_weight: lambda_g after its gate; 0 leaves the global network out.
        shared: M_G, run without gradients; None for sites with networks of their own.
    """

    rule: AgreementConfig
    state: AgreementState
    weight: float
    shared_weight: float = 0.0
    shared: nn.Module | None = None

    @property
    def teach(self) -> bool:
        """Whether anything is learned from the own images; without, a step on them would only repeat its momentum."""
        return self.weight > 0 or (self.shared is not None and self.shared_weight > 0)


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
class Summary:
    """What a call did: means over the steps on either kind of images, and the agreement's state after it."""

    public_loss: float
    own_loss: float
    steps: int
    state: AgreementState


def train_semi_supervised(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    public: PublicSource,
    own: UnlabelledSource,
    task: TrainingTask,
    terms: UnlabelledTerms,
    passes: Passes,
) -> Summary:
    """Train ``network`` in place.

    Args:
        network: images (N, C, S, S) to logits (N, K, S, S).
        optimizer: over the network's parameters; its state is kept from call to call.
        public: the labelled set.
        own: the site's images with SAM's answers.
        task: what stays the same in every round.
        terms: what the own images teach in this one.
        passes: how long, and from which seed.

    Raises:
        DataError: there are no images of one kind, or SAM's answers do not pair up with the own images.
        DSFedMedError: the loss is not finite; the network keeps the weights of the step before.
    """
    if not len(public.images) or not len(own.images) or len(own.images) != len(own.teacher):
        reason = f"{len(public.images)} public, {len(own.images)} own images, {len(own.teacher)} answers of SAM"
        raise DataError(task.where, reason, "Give both kinds, and one answer for each own image")
    seed, state = passes.seed, terms.state
    labelled = endless_batches(public.pairs, public.advice, task, derive_seed(seed, "public"))
    device = device_of(network)
    scaler = gradient_scaler(device, task.precision)
    sums, steps, total = [0.0, 0.0], 0, passes.epochs * math.ceil(len(own.images) / task.batch_size)
    before = 0
    network.train()
    with global_draws(derive_seed(seed, "dropout"), device), fast_single_channel_convolutions(network):
        if passes.public:
            drawn = derive_seed(seed, "public")
            sums[0], before = train_on_public(network, optimizer, public, task, passes.public, drawn)
        for epoch in range(passes.epochs):
            for batch in _own_batches(own, task, derive_seed(seed, "own", epoch)):
                state, view = _consult(network, terms, batch, state, derive_seed(seed, "strong", steps), task)
                value = _own_loss(network, view, state, terms, task)
                sums[1] += float(value.detach())
                if not before:
                    first = public_loss(network, next(labelled), task)
                    sums[0], value = sums[0] + float(first.detach()), first + value
                if not before or terms.teach:
                    descend(value, optimizer, scaler, task.where, before + steps)
                steps += 1
    taken = before + (steps if not before or terms.teach else 0)
    return Summary(sums[0] / (before or total), sums[1] / total, taken, state)


def _own_batches(own: UnlabelledSource, task: TrainingTask, seed: int) -> Iterator[Batch]:
    """Yield one epoch of own images with SAM's answers; their label maps are blank."""
    blank = torch.zeros(len(own.images), 1, *own.images.shape[2:], dtype=torch.uint8)
    return augmented_batches(
        own.images, blank, task.augmentation, task.batch_size, seed, extra=own.teacher, workers=task.workers
    )


@dataclass(frozen=True)
class _View:
    """A batch of own images after the networks were asked about its weak view."""

    strong: Tensor
    teacher: Tensor
    local: Tensor
    shared: Tensor | None


@torch.no_grad()
def _consult(
    network: nn.Module, terms: UnlabelledTerms, batch: Batch, state: AgreementState, seed: int, task: TrainingTask
) -> tuple[AgreementState, _View]:
    """Ask the local and the global network about the weak view; return the new state and the strong view."""
    device = device_of(network)
    weak, teacher = to_device(batch["image"], device), to_device(batch["soft"], device).clamp(0, 1)
    network.eval()
    with autocast(device, task.precision):
        local = torch.sigmoid(network(weak).float())
        advice = None if terms.shared is None else terms.shared(weak).float()
    network.train()
    strong = to_device(strong_view(batch["image"], seed), device)
    return update_agreement(state, teacher, local), _View(strong, teacher, local, advice)


def _own_loss(
    network: nn.Module, view: _View, state: AgreementState, terms: UnlabelledTerms, task: TrainingTask
) -> Tensor:
    """Return lambda_u L_SAM + lambda_g KL of one batch."""
    with autocast(view.strong.device, task.precision):
        logits = network(view.strong)
    logits = logits.float()
    refined = refine(view.teacher, view.local, state, terms.rule)
    value = terms.weight * agreement_loss(logits, refined, view.teacher, terms.rule)
    if view.shared is not None and terms.shared_weight > 0:
        value = value + terms.shared_weight * bernoulli_kl(view.shared, logits).mean()
    return value
