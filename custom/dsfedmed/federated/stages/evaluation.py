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
from dsfedmed.federated.arm import FROZEN_TEACHER
from dsfedmed.federated.frozen import outline
from dsfedmed.federated.messages import Message
from dsfedmed.federated.plan import Plan
from dsfedmed.federated.stages.comparison import Contender
from dsfedmed.federated.workflow import FederatedWorkflow
from dsfedmed.generator.branch import branch_state, build_branch
from dsfedmed.store.stage_store import StageResult

Cases = dict[str, dict[str, list[dict[str, Any]]]]


def evaluate(flow: FederatedWorkflow, plan: Plan, ours: dict[str, Contender], others: dict[str, Contender]) -> Cases:
    """Score the method's networks, then the contenders, at every site; only per-case numbers come back."""
    cases = _score(flow, plan, "evaluate", "method", ours)
    if others:
        compared = _score(flow, plan, "evaluate comparison", "comparison", others)
        cases |= {name: found for name, found in compared.items() if "@" not in name}
        if any("@" in name for name in compared):
            cases["local"] = _local(flow, compared)
    parameters = _parameters(flow, plan)
    flow.record.put(cases=cases, parameters=parameters, inference_ms=_inference(flow, plan))
    flow.record.add("bytes", fedsam=_fedsam_bytes(plan, parameters["teacher"]))
    return cases


def _score(
    flow: FederatedWorkflow, plan: Plan, stage: str, purpose: Purpose, contenders: dict[str, Contender]
) -> Cases:
    def make() -> StageResult:
        found: Cases = {name: {} for name in contenders}
        legacy: dict[str, dict[str, Any]] = {}
        for sites in dict.fromkeys(contender.sites for contender in contenders.values()):
            group = {name: contender for name, contender in contenders.items() if contender.sites == sites}
            for site, answer in _ask(flow, plan, list(sites or flow.sources + flow.unseen), group).items():
                for name in group:
                    found[name][site] = answer["cases"][name]
                for name, scores in answer["legacy"].items():
                    legacy.setdefault(name, {})[site] = scores
        return StageResult({"cases": found, "legacy": legacy}, {})

    info = flow.once(stage, make, purpose).info
    flow.record.add("legacy", **info["legacy"])
    cases: Cases = info["cases"]
    return cases


def _ask(
    flow: FederatedWorkflow, plan: Plan, sites: list[str], contenders: dict[str, Contender]
) -> dict[str, dict[str, Any]]:
    """Send a group of networks to the sites that score them; a site that fails is missing from the result."""
    info = {
        **plan.common,
        "teacher": plan.teacher_spec,
        "foundation": (
            plan.teacher_foundation if any(c.network in FROZEN_TEACHER for c in contenders.values()) else None
        ),
        "networks": {name: contender.network for name, contender in contenders.items()},
        "legacy_eval": flow.settings.legacy_eval,
        **{key: value for contender in contenders.values() for key, value in contender.facts.items()},
        "pictures": [name for name in contenders if name in (flow.METHOD, "fedavg")],
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
        flow.progress.say(f"{site}: {len(next(iter(cases.values())))} test images, {len(cases)} networks scored")

    replies = flow.ask("dsf_evaluate", Message(info, tensors), sites=sites, on_reply=check, at_least=0)
    _note_strangers(flow, contenders, replies)
    _note_unreleased(flow, replies)
    return {site: {"cases": reply.info["cases"], "legacy": reply.info["legacy"]} for site, reply in replies.items()}


def _note_strangers(flow: FederatedWorkflow, contenders: dict[str, Contender], replies: dict[str, Message]) -> None:
    """Record a source site that has no network of its own where the method gives every one its own."""
    for name, contender in contenders.items():
        expected = contender.facts.get("own") or flow.sources
        for site in expected if contender.network in ("personal", "own") else ():
            if site in replies and name not in replies[site].info.get("own", ()):
                text = f"it has no network of its own for {name}; the shared one was scored"
                flow.record.event("missing", text, flow.ledger.stage, None, site)


def _note_unreleased(flow: FederatedWorkflow, replies: dict[str, Message]) -> None:
    """Record a site that could not write the bundle of its own network; its scores count all the same."""
    for site, reply in replies.items():
        for name, error in reply.info.get("unreleased", {}).items():
            text = f"no bundle of its own network for {name}: {error['reason']}. {error['mend']}"
            flow.record.event("missing", text, flow.ledger.stage, None, site)


def _local(flow: FederatedWorkflow, compared: Cases) -> dict[str, list[dict[str, Any]]]:
    """A site's own network on its own test; at an unseen site, each case's mean over the sites' networks."""
    local = {
        site: compared[f"local@{site}"][site] for site in flow.sources if site in compared.get(f"local@{site}", {})
    }
    for site in flow.unseen:
        runs = [found[site] for name, found in compared.items() if name.startswith("local@") and site in found]
        if runs:
            local[site] = [_mean_case(cases) for cases in zip(*runs, strict=True)]
    return local


def _mean_case(cases: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    mean: dict[str, Any] = dict(cases[0])
    for key in ("dice", "iou", "hd95"):
        mean[key] = [sum(values) / len(values) for values in zip(*(case[key] for case in cases), strict=True)]
    return mean


def _parameters(flow: FederatedWorkflow, plan: Plan) -> dict[str, int]:
    """Count the numbers of each network; of the branch, those that are trained and sent."""
    counted: dict[str, list[torch.Tensor]] = {
        "light": list(plan.light_network().parameters()),
        "teacher": list(plan.teacher_network().parameters()),
    }
    if flow.GENERATES:
        foundation = outline(plan.generator, flow.config)
        counted["base"] = list(foundation.unet.parameters())
        counted["branch"] = list(branch_state(build_branch(foundation, plan.generator)).values())
    return {name: sum(tensor.numel() for tensor in tensors) for name, tensors in counted.items()}


def _fedsam_bytes(plan: Plan, parameters: int) -> dict[str, int]:
    """What FedSAM of this teacher would move: every parameter in fp32, up and down, each round (the paper's count)."""
    return {
        "parameters": parameters,
        "bytes_per_round_per_site_per_direction": 4 * parameters,
        "rounds": plan.settings.rounds,
    }


@torch.inference_mode()
def _inference(flow: FederatedWorkflow, plan: Plan, repeats: int = 20) -> dict[str, float]:
    """Median milliseconds for one image, on the server's device and threads."""
    size = plan.settings.image_size
    image = torch.rand(1, plan.facts.channels, size, size, device=flow.config.device)
    return {
        "light": _median_ms(plan.light_network().to(flow.config.device).eval(), image, repeats),
        "teacher": _median_ms(plan.teacher_network().to(flow.config.device).eval(), image, repeats),
    }


def _median_ms(network: nn.Module, image: torch.Tensor, repeats: int) -> float:
    times = []
    for _ in range(repeats + 3):
        started = time.perf_counter()
        network(image).sum().item()
        times.append((time.perf_counter() - started) * 1000)
    return float(torch.tensor(times[3:]).median())
