# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_personal``: a round of pFedSAM. The global branch goes back up; the personal one stays at the site.

Files in ``personal/``: the branch behind each of the last rounds, its running mean where one is asked for, and the best
of what is scored, by the site's own validation.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.round_files import before_round, best_weights, keep_best, keep_round
from dsfedmed.federated.site.tasks.local_training import SiteData, fit_in_round, validate
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, build_low_rank, load, teacher_optimizer
from dsfedmed.federated.site.tasks.round_parts import begin_round
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.evaluation import EvaluateRequest
from dsfedmed.federated.wire.requests.training import PersonalRequest, TrainReply
from dsfedmed.networks.local_experts import personal_branch
from dsfedmed.networks.promptless_sam import PromptlessSam
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.training.light import LocalTraining
from dsfedmed.training.personal import global_phase, local_phase, sync_personal
from dsfedmed.training.task import Loss

FOLDER, MEAN = "personal", "mean-"


@dataclass(frozen=True)
class Phase:
    """One of a round's two phases: which optimiser it keeps, and its learning rate."""

    name: str
    learning_rate: float


def train_personal(site: SiteContext, request: Envelope[PersonalRequest]) -> Envelope[TrainReply]:
    """Train both branches in their phases; return the global one's difference, and its validation as it arrived."""
    body, facts, common = request.body, request.body.round, request.body.common
    shared = build_low_rank(site, NetworkSpecs(common.light, body.teacher, body.teacher_init))
    begun = begin_round(site, common, facts, request.tensors, shared)
    if facts.epochs == 0:
        return begun.validated()
    loss = site.bundle(common.light).loss()
    if facts.round <= body.config.warmup_rounds:
        mean_loss, steps = _train(begun.data, body, shared, shared, loss, Phase("global", body.config.learning_rate))
    else:
        mean_loss, steps = _both_phases(begun.data, body, shared, loss)
    return begun.trained(mean_loss, steps)


def _both_phases(data: SiteData, body: PersonalRequest, shared: PromptlessSam, loss: Loss) -> tuple[float, int]:
    """Train the global branch, then the personal one; return the first's mean loss and the steps of both."""
    config = body.config
    own = _own_branch(data.site, body, shared)
    sync_personal(own, shared, config.personal_sync)
    pupil, guided = global_phase(shared, own, loss, config)
    mean_loss, steps = _train(data, body, shared, pupil, guided, Phase("global", config.learning_rate))
    pupil, guided = local_phase(shared, own, loss, config)
    steps += _train(data, body, own, pupil, guided, Phase("personal", config.personal_rate))[1]
    _keep(data.site, body, "", copied_tensors(own))
    if config.personal_average:
        mean = _mean_branch(data.site, body, own)
        _keep(data.site, body, MEAN, mean)
        own.load_state_dict(mean, strict=False)
    facts = body.round
    keep_best(data.site.folder / FOLDER, facts.training, facts.round, validate(data, own), copied_tensors(own))
    return mean_loss, steps


def best_branch(site: SiteContext, body: EvaluateRequest, training: str) -> nn.Module | None:
    """Return the site's personal branch with the best validation, or None where the site never trained one."""
    kept, config = best_weights(site.folder / FOLDER, training), body.personal
    if config is None or not kept:
        return None
    shared = build_low_rank(site, NetworkSpecs(body.common.light, body.teacher, body.teacher_init))
    own = personal_branch(shared, config.experts, config.top_k)
    load(own, kept, site.config.device)
    return own


def _train(
    data: SiteData, body: PersonalRequest, network: nn.Module, pupil: nn.Module, loss: Loss, phase: Phase
) -> tuple[float, int]:
    """Train one branch for the round's epochs; return its mean loss and its gradient steps."""
    facts = body.round
    optimizer = teacher_optimizer(network, phase.learning_rate)
    summary = fit_in_round(data, facts, pupil, optimizer, LocalTraining(facts.epochs), loss, phase.name)
    return summary.mean_loss, summary.steps


def _own_branch(site: SiteContext, body: PersonalRequest, shared: PromptlessSam) -> nn.Module:
    """Return the site's branch of its last round before this one; at first, a copy of the global one."""
    own = personal_branch(shared, body.config.experts, body.config.top_k).to(site.config.device)
    if earlier := _of_earlier_round(site, body, ""):
        load(own, earlier, site.config.device)
    return own


def _mean_branch(site: SiteContext, body: PersonalRequest, own: nn.Module) -> Weights:
    """Return the running mean over the branch's rounds, this one included: decay * mean + (1 - decay) * branch."""
    now, earlier, decay = copied_tensors(own), _of_earlier_round(site, body, MEAN), body.config.personal_average
    return {name: decay * earlier[name] + (1 - decay) * tensor for name, tensor in now.items()} if earlier else now


def _of_earlier_round(site: SiteContext, body: PersonalRequest, kind: str) -> Weights:
    """Return what was kept of the last round before this one; empty if there is none."""
    return before_round(site.folder / FOLDER, f"{body.round.training}-{kind}", body.round.round)


def _keep(site: SiteContext, body: PersonalRequest, kind: str, weights: Weights) -> None:
    keep_round(site.folder / FOLDER, f"{body.round.training}-{kind}", body.round.round, weights)
