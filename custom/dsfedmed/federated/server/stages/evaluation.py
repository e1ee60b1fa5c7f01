# SPDX-License-Identifier: Apache-2.0
"""Stage "evaluate": the unseen sites and all test splits are read once, at the end, by finished networks."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, TypedDict

import torch
from torch import nn

from dsfedmed.errors import PayloadError, one_line
from dsfedmed.evaluation.detection import DetectedCounts
from dsfedmed.exchange.compression import pack
from dsfedmed.exchange.ledger import Purpose
from dsfedmed.federated.party.generator_base import shapes_only
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.scored_model import ScoredModel
from dsfedmed.federated.server.stages.own.cross_site import cross_site
from dsfedmed.federated.server.training_run import FROZEN_TEACHER
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.codec import SAME_VERSION, to_json
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.evaluation import CaseScores, EvaluateReply, EvaluateRequest
from dsfedmed.federated.wire.tasks import EVALUATE
from dsfedmed.generator.networks.branch import branch_state, build_branch
from dsfedmed.methods import METHODS
from dsfedmed.store.stage_store import StageResult


class _Scores(TypedDict):
    dice: list[float]
    iou: list[float]
    hd95: list[float]


class CaseEntry(_Scores, total=False):
    """One test image's scores as the record keeps them; an image that is its own case has no ``case``."""

    case: int


class DetectedEntry(TypedDict):
    """Counts of test images for one class as the record keeps them; no ``missed`` is above ``present``."""

    present: int
    missed: int
    false_alarms: int


Detected = dict[str, dict[str, list[DetectedEntry]]]
"""Missed lesions and false alarms, an entry for each class, by name of the network and site."""
Cases = dict[str, dict[str, list[CaseEntry]]]
"""Entries by name of the network and site."""


def evaluate(
    run: FederatedWorkflow, plan: FederationPlan, ours: dict[str, ScoredModel], others: dict[str, ScoredModel]
) -> Cases:
    """Score the method's networks, then those it is compared with, at every site; only per-case numbers come back."""
    cases = _score(run, plan, "evaluate", "method", ours)
    if others:
        compared = _score(run, plan, "evaluate comparison", "comparison", others)
        cases |= {name: found for name, found in compared.items() if "@" not in name}
        cases |= {kind: _local(run, compared, kind) for kind in _alone(compared)}
    if run.settings.compare.cross_site:
        cross_site(run, plan, {**ours, **others})
    parameters = _parameters(run, plan)
    run.record.put(cases=cases, parameters=parameters, inference_ms=_inference(run, plan))
    run.record.add("bytes", fedsam=_fedsam_bytes(plan, parameters["teacher"]))
    return cases


def _score(
    run: FederatedWorkflow, plan: FederationPlan, stage: str, purpose: Purpose, models: dict[str, ScoredModel]
) -> Cases:
    def make() -> StageResult:
        found: Cases = {name: {} for name in models}
        legacy: dict[str, dict[str, Any]] = {}
        detected: Detected = {name: {} for name in models}
        for sites in dict.fromkeys(model.sites for model in models.values()):
            group = {name: model for name, model in models.items() if model.sites == sites}
            for site, answer in _ask(run, plan, list(sites or run.sources + run.unseen), group).items():
                for name in group:
                    found[name][site] = [_case(scores) for scores in answer.cases[name]]
                    detected[name][site] = [_counts(each) for each in answer.detected.get(name, ())]
                for name, pair in answer.legacy.items():
                    legacy.setdefault(name, {})[site] = to_json(pair)
        return StageResult({"cases": found, "legacy": legacy, "detected": detected}, {})

    info = run.once(stage, make, purpose).info
    run.record.add("legacy", **info["legacy"])
    run.record.add("detected", **_with_own_local(info["detected"]))
    cases: Cases = info["cases"]
    return cases


def _counts(found: DetectedCounts) -> DetectedEntry:
    return {"present": found.present, "missed": found.missed, "false_alarms": found.false_alarms}


def _alone(names: Iterable[str]) -> list[str]:
    """Return of which kinds sites trained networks alone: "local" of "local@site_a"."""
    return list(dict.fromkeys(name.partition("@")[0] for name in names if "@" in name))


def _with_own_local(detected: Detected) -> Detected:
    """Join the sites' own networks of a kind; at unseen sites there are several of them, whose counts are no one's."""
    joined = {name: found for name, found in detected.items() if "@" not in name}
    for kind in _alone(detected):
        alone = {name.partition("@")[2]: found for name, found in detected.items() if name.startswith(f"{kind}@")}
        joined[kind] = {site: found[site] for site, found in alone.items() if site in found}
    return joined


def _pair(run: FederatedWorkflow) -> tuple[str, str] | None:
    """Return the method and the baseline that its pictures are held against: that of equal steps where it is run."""
    wanted = METHODS[run.METHOD].baselines if run.METHOD in METHODS else {}
    tested = {"equal_steps": run.settings.compare.equal_steps, "equal_rounds": True}
    keys = [key for key in ("equal_steps", "equal_rounds") if key in wanted and tested[key]]
    return (run.METHOD, wanted[keys[0]]) if keys else None


def _ask(
    run: FederatedWorkflow, plan: FederationPlan, sites: list[str], models: dict[str, ScoredModel]
) -> dict[str, EvaluateReply]:
    """Send a group of networks to the sites that score them; a site that fails is missing from the result."""
    builds_on_teacher = any(model.network in FROZEN_TEACHER for model in models.values())
    body = EvaluateRequest(
        plan.common,
        plan.teacher_spec,
        plan.teacher_init if builds_on_teacher else None,
        {name: model.network for name, model in models.items()},
        {name: model.own.name for name, model in models.items() if model.own},
        run.settings.legacy_eval,
        tuple(name for name in models if "@" not in name),
        next((model.personal for model in models.values() if model.personal), None),
        {site: spec for model in models.values() for site, spec in model.site_networks.items()},
        _pair(run),
        {name: model.statistics for name, model in models.items() if model.statistics},
    )
    tensors = {
        f"{name}/{key}": tensor
        for name, model in models.items()
        for key, tensor in pack(model.weights, plan.settings.light.precision).items()
    }

    def check(site: str, reply: Envelope[EvaluateReply]) -> None:
        _require_scores(site, reply.body, set(models), run, plan)
        count = len(next(iter(reply.body.cases.values())))
        scored = f"{len(models)} network{'' if len(models) == 1 else 's'} scored"
        run.progress.say(f"{site}: {count} test images, {scored}")

    replies = run.ask(EVALUATE, Envelope(body, tensors), sites=sites, on_reply=check, at_least=0)
    answers = {site: reply.body for site, reply in replies.items()}
    _record_missing_site_networks(run, models, answers)
    _record_unreleased(run, answers)
    return answers


def _require_scores(
    site: str, reply: EvaluateReply, names: set[str], run: FederatedWorkflow, plan: FederationPlan
) -> None:
    """Refuse scores that are not those of the networks sent, on the test images that the site reported."""
    images = run.record.data["facts"][site]["counts"].get("test", 0)
    if set(reply.cases) != names or not all(len(found) == images for found in reply.cases.values()):
        raise PayloadError(site, f"sent no scores of {images} test images for every network", SAME_VERSION)
    classes = plan.facts.num_classes
    if any(len(scores.dice) != classes for found in reply.cases.values() for scores in found):
        raise PayloadError(site, f"sent scores of another number of classes than {classes}", SAME_VERSION)
    for counts in reply.detected.values():
        if len(counts) != classes or any(c.present + c.false_alarms > images for c in counts):
            raise PayloadError(site, f"counts more than {images} test images, or other classes", SAME_VERSION)
    if (set(reply.legacy) | set(reply.site_specific) | set(reply.unreleased) | set(reply.detected)) - names:
        raise PayloadError(site, "sent scores of networks that were not asked for", SAME_VERSION)


def _case(scores: CaseScores) -> CaseEntry:
    """Return the scores as the record keeps them."""
    kept: CaseEntry = {"dice": list(scores.dice), "iou": list(scores.iou), "hd95": list(scores.hd95)}
    if scores.case is not None:
        kept["case"] = scores.case
    return kept


def _record_missing_site_networks(
    run: FederatedWorkflow, models: dict[str, ScoredModel], replies: dict[str, EvaluateReply]
) -> None:
    """Record a source site that has no network of its own where the method gives every one its own."""
    for name, model in models.items():
        expected = list(model.site_networks) or run.sources
        for site in expected if model.own else ():
            if site in replies and name not in replies[site].site_specific:
                text = f"it has no network of its own for {name}; the shared one was scored"
                run.record.event("missing", text, run.ledger.stage, None, site)


def _record_unreleased(run: FederatedWorkflow, replies: dict[str, EvaluateReply]) -> None:
    """Record a site that could not write the bundle of its own network; its scores count all the same."""
    for site, reply in replies.items():
        for name, error in reply.unreleased.items():
            text = one_line(f"no bundle of its own network for {name}: {error.reason}. {error.fix}")
            run.record.event("missing", text, run.ledger.stage, None, site)


def _local(run: FederatedWorkflow, compared: Cases, kind: str) -> dict[str, list[CaseEntry]]:
    """A site's own network on its own test; at an unseen site, each case's mean over the sites' networks."""
    alone = {site: compared.get(f"{kind}@{site}", {}) for site in run.sources}
    local = {site: found[site] for site, found in alone.items() if site in found}
    for site in run.unseen:
        runs = [found[site] for found in alone.values() if site in found]
        if runs:
            local[site] = [_mean_case(cases) for cases in zip(*runs, strict=True)]
    return local


def _mean_case(cases: tuple[CaseEntry, ...]) -> CaseEntry:
    return {
        **cases[0],
        "dice": _mean([case["dice"] for case in cases]),
        "iou": _mean([case["iou"] for case in cases]),
        "hd95": _mean([case["hd95"] for case in cases]),
    }


def _mean(scores: list[list[float]]) -> list[float]:
    """Return the mean of each class."""
    return [sum(values) / len(values) for values in zip(*scores, strict=True)]


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
