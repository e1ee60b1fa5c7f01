# SPDX-License-Identifier: Apache-2.0
"""Whether a site's branch is fitted privately, and how: its own rule and what the job asks, the stricter of the two."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel

from dsfedmed.errors import ConfigError
from dsfedmed.exchange.sampled_accounting import SampledRelease, epsilon_of_all, multiplier_for
from dsfedmed.exchange.tensors import digest
from dsfedmed.federated.party.branch_privacy import BranchRule
from dsfedmed.federated.site.branch_account import enter
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.wire.codec import to_object
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.generator import BranchPrivacy, BranchRequest, BranchStatement
from dsfedmed.generator.networks.base import GeneratorBase
from dsfedmed.generator.private.fit import PatientImages, PrivateSteps, fit_branch_privately
from dsfedmed.packages import versions
from dsfedmed.store.stage_store import config_hash

LOGGER = logging.getLogger("dsfedmed.site")


@dataclass(frozen=True)
class Wanted:
    """What holds for a branch.

    Attributes:
        epsilon: most that it may cost.
        delta: for which.
        clip: norm of each patient's gradient.
        draws: noise and timesteps of each drawn image.
        most: epsilon of all the site's branches together; 0 for no bound.
    """

    epsilon: float
    delta: float
    clip: float
    draws: int
    most: float


def stricter(rule: BranchRule | None, asked: BranchPrivacy, patients: int) -> Wanted | None:
    """Return what holds at a site of so many patients; None where neither the site nor the job wants it.

    The smaller epsilon and the smaller delta count. The clipping norm changes no epsilon: the site's, if it has one.
    """
    if rule is None and not asked.epsilon:
        return None
    epsilons = [value for value in (rule.epsilon if rule else 0.0, asked.epsilon) if value]
    deltas = [value for value in (rule.delta if rule else 0.0, asked.delta) if value]
    clip = (rule.max_grad_norm if rule else 0.0) or asked.clip
    delta = min(deltas, default=1 / (10 * patients))
    return Wanted(min(epsilons), delta, clip, asked.draws, rule.max_epsilon if rule else 0.0)


def refuse_fitted_base(site: SiteContext) -> None:
    """Refuse to fit a base where the site insists on privacy: what it learns would leave without any.

    Raises:
        ConfigError: it does.
    """
    if site.config.branch_privacy is not None:
        raise ConfigError(
            site.name,
            "it insists on private branches (branch_privacy in its dsfedmed.yaml), and a base that the sites fit "
            "learns from its images without privacy",
            "Use generator.base: given, with a base of public images (`dsfedmed pretrain-generator`)",
        )


def fit_privately(
    site: SiteContext,
    request: Envelope[BranchRequest],
    wanted: Wanted,
    generator_base: GeneratorBase,
    branch: ControlNetModel,
    pairs: PatientImages,
    on_step: Callable[[int], None],
) -> BranchStatement:
    """Enter the release in the site's account, fit ``branch`` in place and return what the site states about it.

    Raises:
        ConfigError: as `enter` and `multiplier_for`, or the job's clipping norm is 0.
    """
    config, people = request.body.generator, len(set(pairs.patients))
    if not wanted.clip > 0:
        raise ConfigError(site.name, "the clipping norm is 0", "Set generator.branch_clip: 1")
    rate = min(1.0, config.batch_size * config.accumulation / people)
    noise = multiplier_for(wanted.epsilon, wanted.delta, rate, request.body.steps)
    cost = SampledRelease(noise, rate, request.body.steps)
    account, repeats = site.config.need("branch_account"), torch.device(site.config.device).type == "cpu"
    entered = enter(account, _key(site, request, wanted), cost, wanted.delta, wanted.most, repeats)
    steps = PrivateSteps(cost.steps, rate, wanted.clip, noise, wanted.draws)
    spoilt = fit_branch_privately(generator_base, branch, pairs, config, steps, entered.release.secret, on_step)
    if spoilt:
        LOGGER.warning("%d gradients of single patients were not finite and counted as zero", spoilt)
    spent = epsilon_of_all([cost], wanted.delta)
    return BranchStatement(
        "patient", wanted.clip, noise, rate, cost.steps, spent, wanted.delta, entered.total_epsilon, entered.branches
    )


def _key(site: SiteContext, request: Envelope[BranchRequest], wanted: Wanted) -> str:
    """Return the hash of all that could change a bit of the branch, but its secret."""
    machine = {"threads": torch.get_num_threads(), "processor": torch.backends.cpu.get_cpu_capability()}
    asked = {"request": to_object(request.body), "base": digest(request.tensors), "wanted": vars(wanted)}
    return config_hash({**asked, "site": site.name, "data": site.data_sha256, **machine, "versions": versions()})
