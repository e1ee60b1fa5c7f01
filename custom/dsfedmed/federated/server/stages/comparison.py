# SPDX-License-Identifier: Apache-2.0
"""Stage "compare": the other methods, on the same split, seed and start weights. Their bytes are counted apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dsfedmed.errors import PayloadError
from dsfedmed.exchange.compression import pack, unpack
from dsfedmed.exchange.tensors import Weights, check_tensors, specs_of, under
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.centralised import centralised
from dsfedmed.federated.server.stages.rounds import start_weights
from dsfedmed.federated.server.stages.teacher import start_teacher
from dsfedmed.federated.server.training_run import (
    NetworkKind,
    TrainingSpec,
    TrainingState,
    record_choice,
    resume_or_start,
    train_until,
)
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.message import Message
from dsfedmed.networks.adapters import add_adapters
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.settings import CompareSettings
from dsfedmed.store.stage_store import StageResult


@dataclass(frozen=True)
class ScoredModel:
    """A finished network that is scored at the end.

    Attributes:
        weights: its weights.
        network: what it is.
        sites: the sites that score it; None for all. (A site's own network is scored there and at the unseen sites.)
        facts: what the request says besides, for networks that the sites build themselves.
    """

    weights: Weights
    network: NetworkKind = "light"
    sites: tuple[str, ...] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def compared_stages(asked: CompareSettings) -> tuple[str, ...]:
    """Name the stages of `compare`, in order."""
    stages = {
        "compare fedavg": asked.fedavg or asked.equal_steps,
        "compare equal steps": asked.equal_steps,
        "compare fedprox": asked.fedprox,
        "compare local": asked.local,
        "compare centralised": asked.centralised,
        "compare fedsam": asked.fedsam,
        "compare fedmsa": asked.fedmsa,
    }
    return tuple(name for name, is_wanted in stages.items() if is_wanted)


def compare(run: FederatedWorkflow, plan: FederationPlan, ours: TrainingState) -> dict[str, ScoredModel]:
    """Train what the settings ask for and return it by method name (``local@SITE`` for a site alone)."""
    contenders: dict[str, ScoredModel] = {}
    asked = run.settings.compare
    if asked.fedavg or asked.equal_steps:
        contenders |= _fedavg(run, plan, ours)
    if asked.fedprox:
        contenders["fedprox"] = _fedprox(run, plan)
    if asked.local:
        contenders |= _local(run, plan)
    if asked.centralised:
        result = run.once("compare centralised", lambda: centralised(run, plan), "comparison")
        contenders["centralised"] = ScoredModel(result.tensors)
    if asked.fedsam:
        contenders["fedsam"] = _fedsam(run, plan)
    if asked.fedmsa:
        contenders["fedmsa"] = _fedmsa(run, plan)
    return contenders


def _fedavg(run: FederatedWorkflow, plan: FederationPlan, ours: TrainingState) -> dict[str, ScoredModel]:
    """FedAvg at equal rounds; then the same run goes on to equal local gradient steps."""
    arm, contenders = TrainingSpec("fedavg"), {}
    equal = run.store.has("compare fedavg")
    with run.stage("compare fedavg", "comparison"):
        state = resume_or_start(run, arm, start_weights(plan))
        if equal:
            contenders["fedavg"] = ScoredModel(run.store.get("compare fedavg").tensors)
        else:
            rounds = run.settings.rounds
            state = train_until(run, plan, arm, state, lambda now: now.round >= rounds, rounds)
            run.store.put("compare fedavg", state.selected(), state.best)
            contenders["fedavg"] = ScoredModel(state.best)
            record_choice(run, "fedavg", state)
    if run.settings.compare.equal_steps:
        with run.stage("compare equal steps", "comparison"):
            per_round = max(state.steps // max(state.round, 1), 1)
            rounds = max(-(-ours.steps // per_round), state.round)
            if state.steps < ours.steps or not run.store.has("compare equal steps"):
                state = train_until(run, plan, arm, state, lambda now: now.steps >= ours.steps, rounds)
            contenders["fedavg_equal_steps"] = ScoredModel(state.best)
            record_choice(run, "fedavg_equal_steps", state)
            run.store.put("compare equal steps", {})
    return contenders


def _at_equal_rounds(run: FederatedWorkflow, plan: FederationPlan, arm: TrainingSpec, start: Weights) -> ScoredModel:
    """Train an arm from ``start`` for as many rounds as DSFedMed has."""
    with run.stage(f"compare {arm.name}", "comparison"):
        rounds, state = run.settings.rounds, resume_or_start(run, arm, start)
        if not run.store.has(f"compare {arm.name}"):
            state = train_until(run, plan, arm, state, lambda now: now.round >= rounds, rounds)
        record_choice(run, arm.name, state)
        run.store.put(f"compare {arm.name}", {})
        return ScoredModel(state.best, arm.network)


def _fedprox(run: FederatedWorkflow, plan: FederationPlan) -> ScoredModel:
    """FedProx: FedAvg whose sites are held near the round's start (Li et al., MLSys 2020)."""
    arm = TrainingSpec("fedprox", proximal=run.settings.compare.fedprox_mu)
    return _at_equal_rounds(run, plan, arm, start_weights(plan))


def _local(run: FederatedWorkflow, plan: FederationPlan) -> dict[str, ScoredModel]:
    """Each site alone, with as many epochs as FedAvg has at equal rounds."""

    def make() -> StageResult:
        start = start_weights(plan)
        specs = specs_of(start)
        networks: Weights = {}

        def take(site: str, reply: Message) -> None:
            weights = unpack(check_tensors(reply.tensors, specs, site))
            if "/" in site:
                raise PayloadError(site, "has a slash in its name", "Rename the site")
            networks.update({f"{site}/{name}": tensor for name, tensor in weights.items()})

        settings = run.settings
        info = {
            **plan.common,
            "epochs": settings.rounds * settings.light.epochs_per_round,
            "batch_size": settings.light.batch_size,
        }
        packed = {f"weights/{n}": t for n, t in pack(start, settings.light.precision).items()}
        replies = run.ask("dsf_local", Message(info, packed), on_reply=take)
        facts = {site: {"epoch": r.info["epoch"], "steps": r.info["steps"]} for site, r in replies.items()}
        return StageResult({"sites": facts}, networks)

    result = run.once("compare local", make, "comparison")
    contenders = {}
    for site in result.info["sites"]:
        weights = under(result.tensors, f"{site}/")
        contenders[f"local@{site}"] = ScoredModel(weights, "light", (site, *run.unseen))
    return contenders


def _fedsam(run: FederatedWorkflow, plan: FederationPlan) -> ScoredModel:
    """FedSAM: the teacher itself is federated, every parameter of it (FedFMS, MICCAI 2024)."""
    arm = TrainingSpec("fedsam", "teacher", run.settings.compare.fedsam_learning_rate)
    return _at_equal_rounds(run, plan, arm, dict(start_teacher(run, plan)[0].state_dict()))


def _fedmsa(run: FederatedWorkflow, plan: FederationPlan) -> ScoredModel:
    """FedMSA: adapters and mask decoder of the teacher are federated, the rest lies frozen at every site (FedFMS)."""
    arm = TrainingSpec("fedmsa", "adapted", run.settings.compare.fedmsa_learning_rate)
    return _at_equal_rounds(run, plan, arm, copied_tensors(add_adapters(start_teacher(run, plan)[0])))
