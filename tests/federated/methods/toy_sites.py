# SPDX-License-Identifier: Apache-2.0
"""Two sites without labels, of 4 and 12 images, whose network is one number: rounds that a person can compute.

The number z is the logit of every pixel of every image, so that no view, order or draw has a part in it. A step of
gradient descent takes it down by ``RATE`` times the gradient; p - f is that of the cross-entropy on public masks of
which the share f is foreground.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.federated.methods.public_labels import PublicLabels
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.party.folders import SET_FOLDER
from dsfedmed.federated.server.stages.broadcast import PublicBroadcast
from dsfedmed.federated.server.stages.public_set import load_public_set
from dsfedmed.federated.site import context as site_module
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.task import Task
from dsfedmed.federated.wire.tasks import PUBLIC
from dsfedmed.methods import METHODS
from tests.federated.tiny import BUNDLES, FakeRun, tiny_plan, tiny_settings

RATE = 0.5
COUNTS = {"site_a": 4, "site_b": 12}


class Logit(nn.Module):
    """One number, the logit of every pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        return self.logit.view(1, 1, 1, 1).expand(len(images), 1, *images.shape[2:])


class AssessedLogit(Logit):
    """Another number beside it, the logit of every pixel's confidence."""

    def __init__(self) -> None:
        super().__init__()
        self.confidence = nn.Parameter(torch.zeros(1))

    def assessed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        masks = self(images)
        return masks, self.confidence.view(1, 1, 1, 1).expand_as(masks)


@dataclass(frozen=True)
class ToyRun:
    """The global numbers after all rounds, the public masks (N, 1, S, S), and the sites."""

    numbers: dict[str, float]
    masks: Tensor
    sites: dict[str, SiteContext]

    @property
    def number(self) -> float:
        """The logit of every pixel."""
        return self.numbers["logit"]

    @property
    def foreground(self) -> float:
        """The share of foreground in the public masks."""
        return float(self.masks.mean())


def sigmoid(number: float) -> float:
    return 1 / (1 + math.exp(-number))


def toy_rounds(
    method: type[PublicLabels],
    folder: Path,
    patch: pytest.MonkeyPatch,
    start: dict[str, float],
    rounds: int = 1,
    **options: Any,
) -> ToyRun:
    """Train the number for some rounds with the method's own workflow, tasks and messages."""
    patch.setattr(BundleDefinition, "network", lambda *_, **__: AssessedLogit() if "confidence" in start else Logit())
    patch.setattr(BundleDefinition, "optimizer", lambda _, parameters: torch.optim.SGD(parameters, lr=RATE))
    site_module._datalist.cache_clear()
    contexts = {}
    for name, count in COUNTS.items():
        (images,) = make_demo_sites(folder / "sites", 0, (name,), training=count, validation=1, test=1)
        contexts[name] = SiteContext(name, PartyConfig(data=images, bundles=BUNDLES), folder / "work" / name)
    (public,) = make_demo_sites(folder / "public", 0, ("site_p",), training=4, validation=3, test=1)
    settings = tiny_settings(
        rounds=rounds,
        light={"precision": "fp32"},
        light_settings={"loss": "bce", "augmentation": "none"},
        robust={"gate_norm": 0.0, "gate_replay": 0.0, "trials": False},
        guard={"fall": 0.0},
    )

    def answer(site: str, task: Task[Any, Any], request: Envelope[Any]) -> Envelope[Any]:
        context = contexts[site]
        if task is PUBLIC:
            shutil.copytree(request.body.files.source, context.folder / SET_FOLDER)
        reply: Envelope[Any] = task.load()(context, request)
        return reply

    kind: Any = type("ToyRun", (FakeRun, method), {"METHOD": method.METHOD, "GENERATES": False})
    run = kind(folder / "run", settings, answer)
    run.config = PartyConfig(bundles=BUNDLES, public=public)
    found = METHODS[method.METHOD].load_options()
    assert found is not None
    run.options = found.from_dict({"select": "last", **options})
    plan = tiny_plan(settings, **COUNTS)
    given = load_public_set(run, plan)
    sent = PublicBroadcast(run, plan, given, list(COUNTS))
    weights = {name: torch.tensor([number]) for name, number in start.items()}
    state = run._rounds(plan, given, weights, sent)
    numbers = {name: float(tensor) for name, tensor in state.weights.items()}
    return ToyRun(numbers, (given.training.labels() > 0).float(), contexts)
