# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_evaluate``: score finished networks on the site's test split, once, at the end."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from torch import Tensor, nn

from dsfedmed.data.arrays import plain
from dsfedmed.data.reading import LoadSiteImaged
from dsfedmed.errors import DSFedMedError, PayloadError
from dsfedmed.evaluation.metrics import CaseMetrics
from dsfedmed.evaluation.protocol import ForwardPass, ScoredImage, legacy_scores
from dsfedmed.evaluation.protocol import evaluate as score
from dsfedmed.exchange.tensors import under
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, build, load
from dsfedmed.federated.wire.codec import SAME_VERSION
from dsfedmed.federated.wire.message import Envelope, SiteError
from dsfedmed.federated.wire.requests.evaluation import CaseScores, EvaluateReply, EvaluateRequest, LegacyPair
from dsfedmed.federated.wire.task import load_function
from dsfedmed.federated.wire.tasks import task_named
from dsfedmed.reporting.pictures import (
    Picture,
    overlay_png,
    read_picture_index,
    select_cases,
    shown_channel,
    write_picture_index,
)


def evaluate(site: SiteContext, request: Envelope[EvaluateRequest]) -> Envelope[EvaluateReply]:
    """Return per-case metrics of each network, without case names; pictures of the cases stay at the site.

    Where the site has a network of its own for a name, that one is scored, and otherwise the one that was sent.
    """
    body, common = request.body, request.body.common
    answer: dict[str, tuple[CaseScores, ...]] = {}
    legacy: dict[str, LegacyPair] = {}
    own: list[str] = []
    unreleased: dict[str, SiteError] = {}
    for name in body.networks:
        found = _own_network(site, body, name)
        network = _sent_network(site, request, name) if found is None else found
        cases = _score(site, body, name, network)
        answer[name] = tuple(CaseScores(case.dice, case.iou, case.hd95, case.case) for case in cases)
        if found is not None:
            own.append(name)
            if failure := _release_own(site, body, name, found, cases):
                unreleased[name] = failure
        if body.legacy_eval:
            forward = ForwardPass(common.num_classes, device=site.config.device)
            scores = legacy_scores(network, site.arrays("test", common.light), forward, common.nested)
            legacy[name] = LegacyPair(scores.dice, scores.iou)
    return Envelope(EvaluateReply(answer, legacy, tuple(own), unreleased))


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
    return network


def _score(site: SiteContext, body: EvaluateRequest, name: str, network: nn.Module) -> list[CaseMetrics]:
    scored: list[ScoredImage] = []
    preprocessing = site.bundle(body.common.light).preprocessing()
    forward = ForwardPass(body.common.num_classes, 16, site.config.device)
    cases = score(network, site.datalist, "test", preprocessing, forward, on_image=scored.append)
    if name in body.pictures:
        _draw(site, name, scored, site.bundle(body.common.light).in_channels)
    return cases


def _draw(site: SiteContext, method: str, scored: list[ScoredImage], channels: int) -> None:
    """Write overlays of the method's best, median and worst case into the site's own folder."""
    folder, shown = site.folder / "pictures", shown_channel(channels, site.datalist.sorted_channel_names)
    kept = [picture for picture in read_picture_index(folder) if picture.method != method]
    for rank, index in select_cases([image.metrics.mean_dice for image in scored]).items():
        image = scored[index]
        file = f"{method}-{rank}.png"
        overlay_png(_own_image(site, image, channels), image.target, image.prediction, folder / file)
        kept.append(Picture(file, method, image.item.case, rank, image.metrics.mean_dice, shown))
    write_picture_index(folder, kept)


def _own_image(site: SiteContext, image: ScoredImage, channels: int) -> Tensor:
    """Return the image at its own size, (C, X, Y): in colour where the run's images are grey or RGB."""
    document: dict[Hashable, Any] = {
        key: value for key, value in site.datalist.document(image.item).items() if key != "label"
    }
    read = 3 if channels == 1 else channels
    return plain(LoadSiteImaged(keys=("image",), channels=read)(document)["image"])
