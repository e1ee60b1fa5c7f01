# SPDX-License-Identifier: Apache-2.0
"""A site of six images with a network of two convolutions: for rounds whose every number can be compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site import context as site_module
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.train import train
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.reference import WEIGHTS
from dsfedmed.federated.wire.requests.training import TrainReply, TrainRequest
from dsfedmed.federated.wire.specs import RoundFacts
from dsfedmed.networks.trained_tensors import copied_tensors
from tests.federated.tiny import BUNDLES, tiny_plan, tiny_settings


def toy(_: BundleDefinition, seed: int = 0) -> nn.Module:
    """The network, in place of the bundle's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Tanh(), nn.Conv2d(3, 1, 1))


def make_site(folder: Path, patch: pytest.MonkeyPatch) -> SiteContext:
    """A site that has just started, with plain gradient descent."""
    patch.setattr(BundleDefinition, "network", toy)
    patch.setattr(BundleDefinition, "optimizer", lambda _, parameters: torch.optim.SGD(parameters, lr=0.1))
    (images,) = make_demo_sites(folder / "images", 0, ("site_a",), training=6, validation=3, test=2)
    return again(images, folder / "work")


def again(images: Path, folder: Path) -> SiteContext:
    """The same site after a restart."""
    site_module._datalist.cache_clear()
    return SiteContext("site_a", PartyConfig(data=images, bundles=BUNDLES), folder)


def make_plan() -> FederationPlan:
    return tiny_plan(tiny_settings(light={"precision": "fp32", "epochs_per_round": 2}))


def start_of(site: SiteContext, plan: FederationPlan) -> Weights:
    return copied_tensors(site.bundle(plan.light_spec).network())


def facts_of(plan: FederationPlan, number: int, **changes: Any) -> RoundFacts:
    """The same training and round for every task, so that all draw alike."""
    return replace(plan.round_facts("toy", number), **changes)


def sent(weights: Weights) -> Weights:
    return {WEIGHTS + name: tensor for name, tensor in weights.items()}


def as_in_fedavg(site: SiteContext, plan: FederationPlan, weights: Weights, number: int) -> Envelope[TrainReply]:
    """What the site answers in a round of FedAvg."""
    return train(
        site, Envelope(TrainRequest(plan.common, facts_of(plan, number), "light", plan.teacher_spec), sent(weights))
    )


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def distance(one: Weights, other: Weights) -> float:
    parts: list[Tensor] = [(one[name] - other[name]).square().sum() for name in other]
    return torch.stack(parts).sum().sqrt().item()
