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
from dsfedmed.data.strong_augmentation import strong_view
from dsfedmed.devices import to_device
from dsfedmed.training.pool import device_of
from dsfedmed.training.precision import autocast
from dsfedmed.training.semi_supervised.both_sources import (
    OwnRule,
    Passes,
    Steps,
    UnlabelledSource,
    train_on_both,
)
from dsfedmed.training.semi_supervised.public import PublicSource
from dsfedmed.training.task import Batch, TrainingTask


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
class Summary(Steps):
    """What a call did, and the agreement's state after it."""

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
    agreed = _Agreed(terms)
    done = train_on_both(network, optimizer, public, own, task, agreed, passes)
    return Summary(done.public_loss, done.own_loss, done.steps, agreed.state)


class _Agreed(OwnRule):
    """The rule of the own images; the agreement goes on from batch to batch."""

    def __init__(self, terms: UnlabelledTerms) -> None:
        self.terms, self.state, self.teach = terms, terms.state, terms.teach

    def loss(self, network: nn.Module, batch: Batch, seed: int, task: TrainingTask) -> Tensor:
        """Return lambda_u L_SAM + lambda_g KL of a batch."""
        self.state, view = _consult(network, self.terms, batch, self.state, seed, task)
        return _own_loss(network, view, self.state, self.terms, task)


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
