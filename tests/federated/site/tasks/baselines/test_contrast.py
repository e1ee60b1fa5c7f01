# SPDX-License-Identifier: Apache-2.0
"""A site's round of MOON: FedAvg's without a network of an earlier round, and with the contrast behind it."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.algorithms.drift.model_contrast import contrastive_loss
from dsfedmed.exchange.compression import add
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.baselines.contrast import train_in_contrast
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.training import ContrastRequest
from dsfedmed.store.files import read_tensors
from dsfedmed.training.baselines.contrast import in_contrast
from tests.federated.site.tasks.baselines.toy_site import (
    again,
    as_in_fedavg,
    facts_of,
    same,
    sent,
    start_of,
    toy,
)


def ask(plan: FederationPlan, weights: Weights, number: int, weight: float = 1.0) -> Envelope[ContrastRequest]:
    return Envelope(ContrastRequest(plan.common, facts_of(plan, number), weight, 0.5), sent(weights))


def test_a_first_round_is_fedavgs_and_its_network_stays(site: SiteContext, plan: FederationPlan) -> None:
    start = start_of(site, plan)
    reply, plain = train_in_contrast(site, ask(plan, start, 1)), as_in_fedavg(site, plan, start, 1)
    assert same(reply.tensors, plain.tensors)
    assert reply.body == plain.body
    kept = read_tensors(site.folder / "contrast" / "toy-0001.safetensors")
    for name, tensor in add(start, reply.tensors).items():
        torch.testing.assert_close(kept[name], tensor)


def test_later_rounds_have_the_contrast_and_with_weight_zero_they_are_fedavgs(
    site: SiteContext, plan: FederationPlan
) -> None:
    start = start_of(site, plan)
    train_in_contrast(site, ask(plan, start, 1))
    plain = as_in_fedavg(site, plan, start, 2)
    assert same(train_in_contrast(site, ask(plan, start, 2, weight=0.0)).tensors, plain.tensors)
    contrasted = train_in_contrast(site, ask(plan, start, 2))
    assert not same(contrasted.tensors, plain.tensors)
    assert contrasted.body.loss > plain.body.loss, "the contrast is above 0"
    once_more = train_in_contrast(again(site.config.data, site.folder), ask(plan, start, 2))
    assert same(once_more.tensors, contrasted.tensors)


def test_the_loss_by_hand() -> None:
    """The bundle's loss and twice the contrast of the three networks' representations of the same images."""
    networks = [toy(None, seed) for seed in (1, 2, 3)]  # type: ignore[arg-type]
    images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with in_contrast(*networks, lambda logits, target: (logits - target).mean(), weight=2.0, temperature=0.5) as loss:
        value = loss(networks[0](images), torch.zeros(2, 1, 8, 8))
    inside = [network[:2](images).mean(dim=(2, 3)) for network in networks]
    expected = networks[0](images).mean() + 2 * contrastive_loss(*inside, 0.5)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    assert all(parameter.grad is None for network in networks[1:] for parameter in network.parameters())
