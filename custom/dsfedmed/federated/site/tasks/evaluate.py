# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_evaluate``: score finished networks on the site's test split, once, at the end."""

from __future__ import annotations

from torch import nn

from dsfedmed.errors import DSFedMedError, PayloadError
from dsfedmed.evaluation.detection import DetectedCounts, count_detected
from dsfedmed.evaluation.metrics import CaseMetrics
from dsfedmed.evaluation.protocol import ForwardPass, ScoredImage, legacy_scores
from dsfedmed.evaluation.protocol import evaluate as score
from dsfedmed.exchange.tensors import under
from dsfedmed.federated.site.case_pictures import draw_cases, keep_masks
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.baselines.randomised import with_own_statistics
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, build, load
from dsfedmed.federated.wire.codec import SAME_VERSION
from dsfedmed.federated.wire.message import Envelope, SiteError
from dsfedmed.federated.wire.requests.evaluation import (
    CaseScores,
    EvaluateReply,
    EvaluateRequest,
    LegacyPair,
)
from dsfedmed.federated.wire.task import load_function
from dsfedmed.federated.wire.tasks import task_named


def evaluate(site: SiteContext, request: Envelope[EvaluateRequest]) -> Envelope[EvaluateReply]:
    """Return per-case metrics of each network, without case names; pictures of the cases stay at the site.

    Where the site has a network of its own for a name, that one is scored, and otherwise the one that was sent.
    """
    body, common = request.body, request.body.common
    answer: dict[str, tuple[CaseScores, ...]] = {}
    legacy: dict[str, LegacyPair] = {}
    detected: dict[str, tuple[DetectedCounts, ...]] = {}
    own: list[str] = []
    scored: list[ScoredImage] = []
    unreleased: dict[str, SiteError] = {}
    for name in body.networks:
        found = _own_network(site, body, name)
        network = _sent_network(site, request, name) if found is None else found
        scored = _score(site, body, network)
        cases = [image.metrics for image in scored]
        detected[name] = count_detected(scored)
        if name in body.pictures:
            keep_masks(site, name, scored)
        answer[name] = tuple(CaseScores(case.dice, case.iou, case.hd95, case.case) for case in cases)
        if found is not None:
            own.append(name)
            if failure := _release_own(site, body, name, found, cases):
                unreleased[name] = failure
        if body.legacy_eval:
            forward = ForwardPass(common.num_classes, device=site.config.device)
            scores = legacy_scores(network, site.arrays("test", common.light), forward, common.nested)
            legacy[name] = LegacyPair(scores.dice, scores.iou)
    if body.pictures:
        draw_cases(site, scored, body.picture_pair, site.bundle(common.light).in_channels)
    return Envelope(EvaluateReply(answer, legacy, tuple(own), unreleased, detected))


def _own_network(site: SiteContext, body: EvaluateRequest, name: str) -> nn.Module | None:
    """Return the network that the site keeps of a task and that never left it; None where there is none.

    Raises:
        PayloadError: the request names a task of which no site keeps a network.
    """
    if name not in body.own:
        return None
    task = task_named(body.own[name])
    if not task.own_network:
        raise PayloadError("server", f"asked for a site's own network of {task.name}, which leaves none", SAME_VERSION)
    found: nn.Module | None = load_function(task.own_network)(site, body, name)
    return found


def _release_own(
    site: SiteContext, body: EvaluateRequest, name: str, network: nn.Module, cases: list[CaseMetrics]
) -> SiteError | None:
    """Write the site's own network as a bundle; return what the server may know of a failure, which costs no score."""
    task = task_named(body.own[name])
    if not task.own_release:
        return None
    try:
        load_function(task.own_release)(site, body, network, cases)
    except DSFedMedError as error:
        return site.public_error(error)
    return None


def _sent_network(site: SiteContext, request: Envelope[EvaluateRequest], name: str) -> nn.Module:
    body = request.body
    specs = NetworkSpecs(body.common.light, body.teacher, body.teacher_init)
    network = build(site, specs, body.networks[name])
    load(network, under(request.tensors, f"{name}/"), site.config.device)
    if name in body.statistics:
        return with_own_statistics(site, body.common.light, body.statistics[name], network)
    if name in body.own and (adapts := task_named(body.own[name]).adapts):
        load_function(adapts)(site, body, network)
    return network


def _score(site: SiteContext, body: EvaluateRequest, network: nn.Module) -> list[ScoredImage]:
    scored: list[ScoredImage] = []
    preprocessing = site.bundle(body.common.light).preprocessing()
    forward = ForwardPass(body.common.num_classes, 16, site.config.device)
    score(network, site.datalist, "test", preprocessing, forward, on_image=scored.append)
    return scored
