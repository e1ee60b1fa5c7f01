# SPDX-License-Identifier: Apache-2.0
"""Task ``dsf_evaluate``: score finished networks on the site's test split, once, at the end."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import asdict
from typing import Any

from torch import Tensor

from dsfedmed.data.arrays import plain
from dsfedmed.data.reading import LoadSiteImaged
from dsfedmed.evaluation.protocol import ForwardPass, ScoredImage, legacy_scores
from dsfedmed.evaluation.protocol import evaluate as score
from dsfedmed.exchange.tensors import under
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.agreement import site_network
from dsfedmed.federated.site.tasks.networks import build, load
from dsfedmed.federated.site.tasks.personal import best_branch
from dsfedmed.federated.site.tasks.personal_release import try_release
from dsfedmed.federated.wire.message import Message
from dsfedmed.reporting.pictures import Picture, overlay_png, read_picture_index, select_cases, write_picture_index

OWN = {"personal": best_branch, "own": site_network}
"""Kinds of which a source site has its own network, by the name of the arm; it never left the site."""
SHARED = {"personal": "low_rank", "own": "light"}
"""What stands in at a site that has none: the network that came with the request."""


def evaluate(site: SiteContext, request: Message) -> Message:
    """Return per-case metrics of each network, without case names; pictures of the cases stay at the site."""
    info = request.info
    answer: dict[str, Any] = {}
    legacy: dict[str, Any] = {}
    own: list[str] = []
    unreleased: dict[str, dict[str, str]] = {}
    for name, kind in info["networks"].items():
        found = OWN[kind](site, info, name) if kind in OWN else None
        if found is not None:
            own.append(name)
        network = found or build(site, info, SHARED.get(kind, kind))
        if found is None:
            load(network, under(request.tensors, f"{name}/"), site.config.device)
        scored: list[ScoredImage] = []
        preprocessing = site.bundle(info["light"]).preprocessing()
        cases = score(
            network,
            site.datalist,
            "test",
            preprocessing,
            ForwardPass(info["num_classes"], 16, site.config.device),
            on_image=scored.append,
        )
        if name in info["pictures"]:
            _draw(site, name, scored)
        answer[name] = [case.to_dict() for case in cases]
        if kind == "personal" and found is not None and (failure := try_release(site, info, network, cases)):
            unreleased[name] = failure
        if info["legacy_eval"]:
            arrays = site.arrays("test", info["light"])
            legacy[name] = asdict(
                legacy_scores(
                    network, arrays, ForwardPass(info["num_classes"], device=site.config.device), info["nested"]
                )
            )
    return Message({"cases": answer, "legacy": legacy, "own": own, "unreleased": unreleased})


def _draw(site: SiteContext, method: str, scored: list[ScoredImage]) -> None:
    """Write overlays of the method's best, median and worst case into the site's own folder."""
    folder = site.folder / "pictures"
    kept = [picture for picture in read_picture_index(folder) if picture.method != method]
    for rank, index in select_cases([image.metrics.mean_dice for image in scored]).items():
        image = scored[index]
        file = f"{method}-{rank}.png"
        overlay_png(_own_image(site, image), image.target, image.prediction, folder / file)
        kept.append(Picture(file, method, image.item.case, rank, image.metrics.mean_dice))
    write_picture_index(folder, kept)


def _own_image(site: SiteContext, image: ScoredImage) -> Tensor:
    document: dict[Hashable, Any] = {
        key: value for key, value in site.datalist.document(image.item).items() if key != "label"
    }
    return plain(LoadSiteImaged(keys=("image",), channels=3)(document)["image"])
