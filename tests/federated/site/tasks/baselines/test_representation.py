# SPDX-License-Identifier: Apache-2.0
"""A site's round of FedRep: the head learns first, then the representation alone, which is what goes back."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.algorithms.local_layers import divide
from dsfedmed.errors import PayloadError
from dsfedmed.exchange.compression import add
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.baselines.representation import train_head_and_body
from dsfedmed.federated.site.tasks.local_layers import best_network
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.evaluation import EvaluateRequest
from dsfedmed.federated.wire.requests.training import HeadRequest
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.store.files import read_tensors
from tests.federated.site.tasks.baselines.toy_site import again, as_in_fedavg, distance, facts_of, same, sent

HEAD = {"2.weight", "2.bias"}


def start_of(plan: FederationPlan) -> Weights:
    return copied_tensors(plan.light_network())


def shared(weights: Weights) -> Weights:
    return divide(weights, HEAD)[0]


def ask(plan: FederationPlan, weights: Weights, number: int, head_epochs: int = 1) -> Envelope[HeadRequest]:
    return Envelope(HeadRequest(plan.common, facts_of(plan, number), head_epochs, 0), sent(weights))


def kept(site: SiteContext, name: str) -> Weights:
    return read_tensors(site.folder / "local_layers" / f"{name}.safetensors")


def test_joint_training_is_fedavgs_but_for_the_head_that_stays(site: SiteContext, plan: FederationPlan) -> None:
    """FedPer's first round: all sites' heads begin as the start's, so every number is that of FedAvg."""
    start = start_of(plan)
    reply, plain = train_head_and_body(site, ask(plan, shared(start), 1, 0)), as_in_fedavg(site, plan, start, 1)
    assert same(reply.tensors, shared(plain.tensors))
    assert reply.body == plain.body
    head = kept(site, "toy-0001")
    assert head.keys() == HEAD
    assert all(torch.allclose(head[name] - start[name], plain.tensors[name], atol=1e-6) for name in HEAD)


def test_the_head_learns_before_the_representation_and_not_with_it(site: SiteContext, plan: FederationPlan) -> None:
    """One pass of two steps over the head, then two of two over the rest; with more of the former the rest changes."""
    start = start_of(plan)
    reply, one = train_head_and_body(site, ask(plan, shared(start), 1)), kept(site, "toy-0001")
    assert reply.tensors.keys() == start.keys() - HEAD
    assert distance(reply.tensors, {name: torch.zeros_like(tensor) for name, tensor in reply.tensors.items()}) > 0
    assert reply.body.steps == 2 + 4
    other = train_head_and_body(again(site.config.data, site.folder), ask(plan, shared(start), 1, 3))
    assert other.body.steps == 6 + 4
    assert distance(kept(site, "toy-0001"), divide(start, HEAD)[1]) > distance(one, divide(start, HEAD)[1]) > 0
    assert not same(other.tensors, reply.tensors), "it is fitted to another head"


def test_the_head_lasts_over_rounds_and_the_best_network_is_scored(site: SiteContext, plan: FederationPlan) -> None:
    request = EvaluateRequest(plan.common, plan.teacher_spec, None, {"toy": "light"}, own={"toy": "dsf_local_head"})
    assert best_network(site, request, "toy") is None
    weights, dice, states = shared(start_of(plan)), {}, {}
    for number in (1, 2, 3):
        reply = train_head_and_body(site, ask(plan, weights, number))
        if number > 1:
            dice[number - 1] = reply.body.validation
            states[number - 1] = {**weights, **kept(site, f"toy-{number - 1:04d}")}
        weights = add(weights, reply.tensors)
    assert len({tuple(kept(site, f"toy-000{number}")["2.bias"].tolist()) for number in (1, 2, 3)}) == 3
    network = best_network(site, request, "toy")
    assert network is not None
    best = max(dice, key=dice.__getitem__)
    assert same(copied_tensors(network), states[best])


def test_the_same_round_again_gives_the_same_bits_after_a_restart(site: SiteContext, plan: FederationPlan) -> None:
    weights = shared(start_of(plan))
    weights = add(weights, train_head_and_body(site, ask(plan, weights, 1)).tensors)
    first, head = train_head_and_body(site, ask(plan, weights, 2)), kept(site, "toy-0002")
    second = train_head_and_body(again(site.config.data, site.folder), ask(plan, weights, 2))
    assert same(first.tensors, second.tensors)
    assert same(head, kept(site, "toy-0002"))


def test_a_head_that_is_sent_is_refused(site: SiteContext, plan: FederationPlan) -> None:
    with pytest.raises(PayloadError, match=r"2\.weight"):
        train_head_and_body(site, ask(plan, start_of(plan), 1))
    assert not (site.folder / "local_layers").exists()


def test_a_head_of_all_layers_is_refused(site: SiteContext, plan: FederationPlan) -> None:
    request = Envelope(HeadRequest(plan.common, facts_of(plan, 1), 1, 2), {})
    with pytest.raises(PayloadError, match="2 of 2 layers"):
        train_head_and_body(site, request)
