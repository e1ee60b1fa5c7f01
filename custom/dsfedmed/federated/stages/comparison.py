# SPDX-License-Identifier: Apache-2.0
"""Stage "compare": the other methods, on the same split, seed and start weights. Their bytes are counted apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dsfedmed.errors import PayloadError
from dsfedmed.exchange.compression import pack, unpack
from dsfedmed.exchange.tensors import check_tensors, specs_of, under
from dsfedmed.federated.arm import Arm, ArmState, NetworkKind, open_arm, record_choice, train_until
from dsfedmed.federated.messages import Message
from dsfedmed.federated.plan import Plan
from dsfedmed.federated.site_tasks.networks import copied_tensors
from dsfedmed.federated.stages.centralised import centralised
from dsfedmed.federated.stages.generators import Weights
from dsfedmed.federated.stages.rounds import start_weights
from dsfedmed.federated.stages.teacher import start_teacher
from dsfedmed.federated.workflow import FederatedWorkflow
from dsfedmed.networks.adapters import add_adapters
from dsfedmed.settings import CompareSettings
from dsfedmed.store.stage_store import StageResult


@dataclass(frozen=True)
class Contender:
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


def compare(flow: FederatedWorkflow, plan: Plan, ours: ArmState) -> dict[str, Contender]:
    """Train what the settings ask for and return it by method name (``local@SITE`` for a site alone)."""
    contenders: dict[str, Contender] = {}
    asked = flow.settings.compare
    if asked.fedavg or asked.equal_steps:
        contenders |= _fedavg(flow, plan, ours)
    if asked.fedprox:
        contenders["fedprox"] = _fedprox(flow, plan)
    if asked.local:
        contenders |= _local(flow, plan)
    if asked.centralised:
        result = flow.once("compare centralised", lambda: centralised(flow, plan), "comparison")
        contenders["centralised"] = Contender(result.tensors)
    if asked.fedsam:
        contenders["fedsam"] = _fedsam(flow, plan)
    if asked.fedmsa:
        contenders["fedmsa"] = _fedmsa(flow, plan)
    return contenders


def _fedavg(flow: FederatedWorkflow, plan: Plan, ours: ArmState) -> dict[str, Contender]:
    """FedAvg at equal rounds; then the same run goes on to equal local gradient steps."""
    arm, contenders = Arm("fedavg"), {}
    equal = flow.store.has("compare fedavg")
    with flow.stage("compare fedavg", "comparison"):
        state = open_arm(flow, arm, start_weights(plan))
        if equal:
            contenders["fedavg"] = Contender(flow.store.get("compare fedavg").tensors)
        else:
            rounds = flow.settings.rounds
            state = train_until(flow, plan, arm, state, lambda now: now.round >= rounds, rounds)
            flow.store.put("compare fedavg", state.selected(), state.best)
            contenders["fedavg"] = Contender(state.best)
            record_choice(flow, "fedavg", state)
    if flow.settings.compare.equal_steps:
        with flow.stage("compare equal steps", "comparison"):
            per_round = max(state.steps // max(state.round, 1), 1)
            rounds = max(-(-ours.steps // per_round), state.round)
            if state.steps < ours.steps or not flow.store.has("compare equal steps"):
                state = train_until(flow, plan, arm, state, lambda now: now.steps >= ours.steps, rounds)
            contenders["fedavg_equal_steps"] = Contender(state.best)
            record_choice(flow, "fedavg_equal_steps", state)
            flow.store.put("compare equal steps", {})
    return contenders


def _at_equal_rounds(flow: FederatedWorkflow, plan: Plan, arm: Arm, start: Weights) -> Contender:
    """Train an arm from ``start`` for as many rounds as DSFedMed has."""
    with flow.stage(f"compare {arm.name}", "comparison"):
        rounds, state = flow.settings.rounds, open_arm(flow, arm, start)
        if not flow.store.has(f"compare {arm.name}"):
            state = train_until(flow, plan, arm, state, lambda now: now.round >= rounds, rounds)
        record_choice(flow, arm.name, state)
        flow.store.put(f"compare {arm.name}", {})
        return Contender(state.best, arm.network)


def _fedprox(flow: FederatedWorkflow, plan: Plan) -> Contender:
    """FedProx: FedAvg whose sites are held near the round's start (Li et al., MLSys 2020)."""
    arm = Arm("fedprox", proximal=flow.settings.compare.fedprox_mu)
    return _at_equal_rounds(flow, plan, arm, start_weights(plan))


def _local(flow: FederatedWorkflow, plan: Plan) -> dict[str, Contender]:
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

        settings = flow.settings
        info = {
            **plan.common,
            "epochs": settings.rounds * settings.light.epochs_per_round,
            "batch_size": settings.light.batch_size,
        }
        packed = {f"weights/{n}": t for n, t in pack(start, settings.light.precision).items()}
        replies = flow.ask("dsf_local", Message(info, packed), on_reply=take)
        facts = {site: {"epoch": r.info["epoch"], "steps": r.info["steps"]} for site, r in replies.items()}
        return StageResult({"sites": facts}, networks)

    result = flow.once("compare local", make, "comparison")
    contenders = {}
    for site in result.info["sites"]:
        weights = under(result.tensors, f"{site}/")
        contenders[f"local@{site}"] = Contender(weights, "light", (site, *flow.unseen))
    return contenders


def _fedsam(flow: FederatedWorkflow, plan: Plan) -> Contender:
    """FedSAM: the teacher itself is federated, every parameter of it (FedFMS, MICCAI 2024)."""
    arm = Arm("fedsam", "teacher", flow.settings.compare.fedsam_learning_rate)
    return _at_equal_rounds(flow, plan, arm, dict(start_teacher(flow, plan)[0].state_dict()))


def _fedmsa(flow: FederatedWorkflow, plan: Plan) -> Contender:
    """FedMSA: adapters and mask decoder of the teacher are federated, the rest lies frozen at every site (FedFMS)."""
    arm = Arm("fedmsa", "adapted", flow.settings.compare.fedmsa_learning_rate)
    return _at_equal_rounds(flow, plan, arm, copied_tensors(add_adapters(start_teacher(flow, plan)[0])))
