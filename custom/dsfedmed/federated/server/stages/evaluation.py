# SPDX-License-Identifier: Apache-2.0
"""Stage "evaluate": the unseen sites and all test splits are read once, at the end, by finished networks."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn

from dsfedmed.errors import PayloadError
from dsfedmed.exchange.compression import pack
from dsfedmed.exchange.ledger import Purpose
from dsfedmed.federated.party.generator_base import shapes_only
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.comparison import ScoredModel
from dsfedmed.federated.server.training_run import FROZEN_TEACHER
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.message import Message
from dsfedmed.generator.networks.branch import branch_state, build_branch
from dsfedmed.store.stage_store import StageResult

Cases = dict[str, dict[str, list[dict[str, Any]]]]


def evaluate(
    run: FederatedWorkflow, plan: FederationPlan, ours: dict[str, ScoredModel], others: dict[str, ScoredModel]
) -> Cases:
    """Score the method's networks, then the contenders, at every site; only per-case numbers come back."""
    cases = _score(run, plan, "evaluate", "method", ours)
    if others:
        compared = _score(run, plan, "evaluate comparison", "comparison", others)
        cases |= {name: found for name, found in compared.items() if "@" not in name}
        if any("@" in name for name in compared):
            cases["local"] = _local(run, compared)
    parameters = _parameters(run, plan)
    run.record.put(cases=cases, parameters=parameters, inference_ms=_inference(run, plan))
    run.record.add("bytes", fedsam=_fedsam_bytes(plan, parameters["teacher"]))
    return cases


def _score(
    run: FederatedWorkflow, plan: FederationPlan, stage: str, purpose: Purpose, contenders: dict[str, ScoredModel]
) -> Cases:
    def make() -> StageResult:
        found: Cases = {name: {} for name in contenders}
        legacy: dict[str, dict[str, Any]] = {}
        for sites in dict.fromkeys(contender.sites for contender in contenders.values()):
            group = {name: contender for name, contender in contenders.items() if contender.sites == sites}
            for site, answer in _ask(run, plan, list(sites or run.sources + run.unseen), group).items():
                for name in group:
                    found[name][site] = answer["cases"][name]
                for name, scores in answer["legacy"].items():
                    legacy.setdefault(name, {})[site] = scores
        return StageResult({"cases": found, "legacy": legacy}, {})

    info = run.once(stage, make, purpose).info
    run.record.add("legacy", **info["legacy"])
    cases: Cases = info["cases"]
    return cases


def _ask(
    run: FederatedWorkflow, plan: FederationPlan, sites: list[str], contenders: dict[str, ScoredModel]
) -> dict[str, dict[str, Any]]:
    """Send a group of networks to the sites that score them; a site that fails is missing from the result."""
    info = {
        **plan.common,
        "teacher": plan.teacher_spec,
        "teacher_init": (plan.teacher_init if any(c.network in FROZEN_TEACHER for c in contenders.values()) else None),
        "networks": {name: contender.network for name, contender in contenders.items()},
        "legacy_eval": run.settings.legacy_eval,
        **{key: value for contender in contenders.values() for key, value in contender.facts.items()},
        "pictures": [name for name in contenders if name in (run.METHOD, "fedavg")],
    }
    tensors = {
        f"{name}/{key}": tensor
        for name, contender in contenders.items()
        for key, tensor in pack(contender.weights, plan.settings.light.precision).items()
    }

    def check(site: str, reply: Message) -> None:
        cases = reply.info["cases"]
        if cases.keys() != contenders.keys() or not all(isinstance(found, list) and found for found in cases.values()):
            raise PayloadError(site, "sent no metrics for some networks", "Use the same version of dsfedmed everywhere")
        run.progress.say(f"{site}: {len(next(iter(cases.values())))} test images, {len(cases)} networks scored")

    replies = run.ask("dsf_evaluate", Message(info, tensors), sites=sites, on_reply=check, at_least=0)
    _record_missing_site_networks(run, contenders, replies)
    _record_unreleased(run, replies)
    return {site: {"cases": reply.info["cases"], "legacy": reply.info["legacy"]} for site, reply in replies.items()}


def _record_missing_site_networks(
    run: FederatedWorkflow, contenders: dict[str, ScoredModel], replies: dict[str, Message]
) -> None:
    """Record a source site that has no network of its own where the method gives every one its own."""
    for name, contender in contenders.items():
        expected = contender.facts.get("own") or run.sources
        for site in expected if contender.network in ("personal", "own") else ():
            if site in replies and name not in replies[site].info.get("own", ()):
                text = f"it has no network of its own for {name}; the shared one was scored"
                run.record.event("missing", text, run.ledger.stage, None, site)


def _record_unreleased(run: FederatedWorkflow, replies: dict[str, Message]) -> None:
    """Record a site that could not write the bundle of its own network; its scores count all the same."""
    for site, reply in replies.items():
        for name, error in reply.info.get("unreleased", {}).items():
            text = f"no bundle of its own network for {name}: {error['reason']}. {error['fix']}"
            run.record.event("missing", text, run.ledger.stage, None, site)


def _local(run: FederatedWorkflow, compared: Cases) -> dict[str, list[dict[str, Any]]]:
    """A site's own network on its own test; at an unseen site, each case's mean over the sites' networks."""
    local = {site: compared[f"local@{site}"][site] for site in run.sources if site in compared.get(f"local@{site}", {})}
    for site in run.unseen:
        runs = [found[site] for name, found in compared.items() if name.startswith("local@") and site in found]
        if runs:
            local[site] = [_mean_case(cases) for cases in zip(*runs, strict=True)]
    return local


def _mean_case(cases: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    mean: dict[str, Any] = dict(cases[0])
    for key in ("dice", "iou", "hd95"):
        mean[key] = [sum(values) / len(values) for values in zip(*(case[key] for case in cases), strict=True)]
    return mean


def _parameters(run: FederatedWorkflow, plan: FederationPlan) -> dict[str, int]:
    """Count the numbers of each network; of the branch, those that are trained and sent."""
    counted: dict[str, list[torch.Tensor]] = {
        "light": list(plan.light_network().parameters()),
        "teacher": list(plan.teacher_network().parameters()),
    }
    if run.GENERATES:
        generator_base = shapes_only(plan.generator, run.config)
        counted["base"] = list(generator_base.unet.parameters())
        counted["branch"] = list(branch_state(build_branch(generator_base, plan.generator)).values())
    return {name: sum(tensor.numel() for tensor in tensors) for name, tensors in counted.items()}


def _fedsam_bytes(plan: FederationPlan, parameters: int) -> dict[str, int]:
    """What FedSAM of this teacher would move: every parameter in fp32, up and down, each round (the paper's count)."""
    return {
        "parameters": parameters,
        "bytes_per_round_per_site_per_direction": 4 * parameters,
        "rounds": plan.settings.rounds,
    }


@torch.inference_mode()
def _inference(run: FederatedWorkflow, plan: FederationPlan, repeats: int = 20) -> dict[str, float]:
    """Median milliseconds for one image, on the server's device and threads."""
    size = plan.settings.image_size
    image = torch.rand(1, plan.facts.channels, size, size, device=run.config.device)
    return {
        "light": _median_ms(plan.light_network().to(run.config.device).eval(), image, repeats),
        "teacher": _median_ms(plan.teacher_network().to(run.config.device).eval(), image, repeats),
    }


def _median_ms(network: nn.Module, image: torch.Tensor, repeats: int) -> float:
    times = []
    for _ in range(repeats + 3):
        started = time.perf_counter()
        network(image).sum().item()
        times.append((time.perf_counter() - started) * 1000)
    return float(torch.tensor(times[3:]).median())
