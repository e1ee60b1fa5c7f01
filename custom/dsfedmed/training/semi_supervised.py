# SPDX-License-Identifier: Apache-2.0
"""Train a site's light network on a public labelled set and its own unlabelled images (SAM-Fed, arXiv 2511.14302).

One gradient step takes a batch of each:

    L = L_sup(public) + lambda_u L_SAM(own) + lambda_g KL( sg M_G(weak) || q(strong) )     homogeneous sites
    L = structure(public) + 10 KL_2(server -> q) gate + lambda_u L_SAM(own)               heterogeneous sites (RF)

with L_SAM of `dsfedmed.algorithms.agreement`. SAM is not run here: its probabilities of the own images were computed
once, and move with the image under augmentation. Order and weights of the terms are [inferred]; the federated transfer
is gated for the whole round by which of the two, the global network or the site's own of the round before, is better
on the public set.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
from dsfedmed.algorithms.regularity import regularity_kl, structure_loss
from dsfedmed.algorithms.soft_divergence import HALF_STEP
from dsfedmed.data.batches import augmented_batches
from dsfedmed.data.labels import to_channels
from dsfedmed.data.strong_augmentation import strong_view
from dsfedmed.devices import to_device
from dsfedmed.errors import DataError
from dsfedmed.seeds import derive_seed, global_draws
from dsfedmed.training.light import descend, endless_batches
from dsfedmed.training.pool import device_of
from dsfedmed.training.precision import Autocast, autocast, gradient_scaler
from dsfedmed.training.single_channel import fast_single_channel_convolutions

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class PublicSource:
    """The public set at a site.

    Attributes:
        images: (N, C, S, S), float32 in [0, 1].
        label_maps: (N, 1, S, S), uint8.
        advice: the server's probabilities (N, K, S, S) for RF, and as a last channel the gate of each image; None for
            homogeneous sites.
    """

    images: Tensor
    label_maps: Tensor
    advice: Tensor | None = None


@dataclass(frozen=True)
class UnlabelledSource:
    """A site's unlabelled images (N, C, S, S) and SAM's probabilities of them (N, K, S, S), float32 in [0, 1]."""

    images: Tensor
    teacher: Tensor


@dataclass(frozen=True)
class TermWeights:
    """Factors of the terms: lambda_u with its ramp-up, and lambda_g with its gate."""

    unlabelled: float
    shared: float


@dataclass(frozen=True)
class Summary:
    """What a call did: means over its steps, and the agreement's state behind it."""

    public_loss: float
    own_loss: float
    steps: int
    state: AgreementState


@dataclass(frozen=True)
class Task:
    """What does not change from round to round: classes, the bundle's parts, and the options."""

    num_classes: int
    nested: bool
    loss: Callable[[Tensor, Tensor], Tensor]
    augmentation: Any | None
    batch_size: int
    agreement: AgreementConfig
    precision: Autocast = "off"
    where: str = "light network"


def train_semi_supervised(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    public: PublicSource,
    own: UnlabelledSource,
    task: Task,
    weights: TermWeights,
    state: AgreementState,
    epochs: int,
    seed: int,
    shared: nn.Module | None = None,
) -> Summary:
    """Train ``network`` in place for ``epochs`` passes over the own images; ``shared`` is M_G, run without gradients.

    Raises:
        DataError: there are no images of one kind, or SAM's answers do not pair up with the own images.
        DSFedMedError: the loss is not finite; the network keeps the weights of the step before.
    """
    if not len(public.images) or not len(own.images) or len(own.images) != len(own.teacher):
        reason = f"{len(public.images)} public, {len(own.images)} own images, {len(own.teacher)} answers of SAM"
        raise DataError(task.where, reason, "Give both kinds, and one answer for each own image")
    labelled = endless_batches(
        public.images, public.label_maps, public.advice, task.augmentation, task.batch_size, derive_seed(seed, "public")
    )
    device = device_of(network)
    scaler = gradient_scaler(device, task.precision)
    sums, steps, total = [0.0, 0.0], 0, epochs * math.ceil(len(own.images) / task.batch_size)
    blank = torch.zeros(len(own.images), 1, *own.images.shape[2:], dtype=torch.uint8)
    network.train()
    with global_draws(derive_seed(seed, "dropout"), device), fast_single_channel_convolutions(network):
        for epoch in range(epochs):
            drawn = derive_seed(seed, "own", epoch)
            for batch in augmented_batches(
                own.images, blank, task.augmentation, task.batch_size, drawn, extra=own.teacher
            ):
                state, view = _consult(network, shared, batch, state, derive_seed(seed, "strong", steps), task)
                first = _public_loss(network, next(labelled), task)
                second = _own_loss(network, view, state, weights, task)
                descend(first + second, optimizer, scaler, task.where, steps)
                sums = [sums[0] + float(first.detach()), sums[1] + float(second.detach())]
                steps += 1
    return Summary(sums[0] / total, sums[1] / total, steps, state)


@dataclass(frozen=True)
class _View:
    """A batch of own images after the networks were asked about its weak view."""

    strong: Tensor
    teacher: Tensor
    local: Tensor
    shared: Tensor | None


@torch.no_grad()
def _consult(
    network: nn.Module, shared: nn.Module | None, batch: Batch, state: AgreementState, seed: int, task: Task
) -> tuple[AgreementState, _View]:
    """Ask the local and the global network about the weak view; return the new state and the strong view."""
    device = device_of(network)
    weak, teacher = to_device(batch["image"], device), to_device(batch["soft"], device).clamp(0, 1)
    network.eval()
    with autocast(device, task.precision):
        local = torch.sigmoid(network(weak).float())
        advice = None if shared is None else shared(weak).float()
    network.train()
    strong = to_device(strong_view(batch["image"], seed), device)
    return update_agreement(state, teacher, local), _View(strong, teacher, local, advice)


def _own_loss(network: nn.Module, view: _View, state: AgreementState, weights: TermWeights, task: Task) -> Tensor:
    """Return lambda_u L_SAM + lambda_g KL of one batch."""
    with autocast(view.strong.device, task.precision):
        logits = network(view.strong)
    logits = logits.float()
    refined = refine(view.teacher, view.local, state, task.agreement)
    value = weights.unlabelled * agreement_loss(logits, refined, view.teacher, task.agreement)
    if view.shared is not None and weights.shared > 0:
        value = value + weights.shared * bernoulli_kl(view.shared, logits).mean()
    return value


def _public_loss(network: nn.Module, batch: Batch, task: Task) -> Tensor:
    """Return the supervised loss of a public batch; with the server's advice, that of RF."""
    device = device_of(network)
    target = to_device(to_channels(batch["label"], task.num_classes, task.nested), device)
    with autocast(device, task.precision):
        logits = network(to_device(batch["image"], device))
    logits = logits.float()
    if "soft" not in batch:
        return task.loss(logits, target)
    advice = to_device(batch["soft"], device)
    gate = (advice[:, -1].flatten(1).mean(dim=1) > 0.5).float()
    server = torch.logit(advice[:, :-1].clamp(HALF_STEP, 1 - HALF_STEP))
    return structure_loss(logits, target) + regularity_kl(server, logits, gate)
