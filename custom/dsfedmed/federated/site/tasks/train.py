# SPDX-License-Identifier: Apache-2.0
"""Tasks ``dsf_train`` (one round of a federated training run) and ``dsf_local`` (the site alone)."""

from __future__ import annotations

import logging
from dataclasses import replace

import torch
from torch import nn

from dsfedmed.algorithms.schedules import rate_over_rounds
from dsfedmed.exchange.compression import pack
from dsfedmed.exchange.tensors import under
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.task_progress import ProgressCallback
from dsfedmed.federated.site.tasks.local_training import SiteData, fit, fit_in_round, validate
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, build, load, teacher_optimizer
from dsfedmed.federated.site.tasks.round_parts import begin_round
from dsfedmed.federated.site.tasks.soft_labels import joint_source, synthetic_source
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.reference import WEIGHTS
from dsfedmed.federated.wire.requests.training import LocalReply, LocalRequest, TrainReply, TrainRequest
from dsfedmed.seeds import derive_seed
from dsfedmed.training.light import LocalTraining, TrainingSummary
from dsfedmed.training.passes import BestPass, best_of_passes

LOGGER = logging.getLogger("dsfedmed.site")


def train(site: SiteContext, request: Envelope[TrainRequest]) -> Envelope[TrainReply]:
    """Validate the weights that arrived, train on, and return the difference with the validation Dice.

    With ``epochs`` 0 only the validation is done. A notice goes to the site's own log.
    """
    body, common = request.body, request.body.common
    if body.notice:
        LOGGER.warning("the server says: %s", body.notice)
    network = build(site, NetworkSpecs(common.light, body.teacher, body.teacher_init), body.network)
    begun = begin_round(site, common, body.round, request.tensors, network)
    if body.round.epochs == 0:
        return begun.validated()
    summary = fit_round(begun.data, body, network)
    dice = validate(begun.data, network) if body.validate_trained else None
    return begun.trained(summary.mean_loss, summary.steps, dice)


def fit_round(data: SiteData, body: TrainRequest, network: nn.Module) -> TrainingSummary:
    """Train for the round's epochs, with the optimiser of the round before where the run keeps it."""
    site, facts, common = data.site, body.round, body.common
    optimizer = _optimizer(data, body, network)
    synthetic = synthetic_source(site, body.synthetic, common.num_classes)
    joint = joint_source(site, body.joint)
    training = LocalTraining(facts.epochs, synthetic=synthetic, joint=joint, proximal=body.proximal, rules=facts.rules)
    return fit_in_round(data, facts, network, optimizer, training)


def train_alone(site: SiteContext, request: Envelope[LocalRequest]) -> Envelope[LocalReply]:
    """Train a network on the site's images alone; its own validation picks the epoch."""
    body, common = request.body, request.body.common
    data = SiteData(site, common, body.batch_size)
    network = build(site, NetworkSpecs(common.light, body.teacher, body.teacher_init), body.network)
    load(network, under(request.tensors, WEIGHTS), site.config.device)
    best = fit_passes(data, body, network, "local" if body.network == "light" else f"local-{body.network}")
    reply = LocalReply(best.validation, best.number, best.steps)
    return Envelope(reply, pack(best.weights, common.precision, site.name))


def fit_passes(data: SiteData, body: LocalRequest, network: nn.Module, name: str, as_it_came: bool = False) -> BestPass:
    """Train for the request's passes; return the best by the site's own validation. ``name`` is a part of the seeds."""
    site, rules = data.site, body.rules
    optimizer = _optimizer(data, body, network)

    def train_pass(epoch: int) -> int:
        seed = derive_seed(data.common.seed, site.name, name, epoch)
        report = _over_epochs(site, epoch - 1, body.epochs)
        rate = rate_over_rounds(body.rate_schedule, epoch - 1, body.epochs) * rules.rate_factor
        ramp = rules.ramp_steps if epoch == 1 else 0  # the optimiser goes on from pass to pass
        training = LocalTraining(1, rules=replace(rules, rate_factor=rate, ramp_steps=ramp))
        return fit(data, network, optimizer, seed, training, on_progress=report).steps

    return best_of_passes(network, body.epochs, train_pass, lambda now: validate(data, now), as_it_came)


def _optimizer(data: SiteData, body: TrainRequest | LocalRequest, network: nn.Module) -> torch.optim.Optimizer:
    """Return the bundle's optimiser for the light network, and Adam for one that is built on the teacher."""
    if body.network == "light":
        return data.site.bundle(data.common.light).optimizer(network.parameters())
    return teacher_optimizer(network, body.learning_rate)


def _over_epochs(site: SiteContext, finished: int, epochs: int) -> ProgressCallback:
    """Return what reports the steps of one epoch as steps of all, ``finished`` epochs being done."""
    return lambda done, total: site.on_progress(finished * total + done, epochs * total)
