# SPDX-License-Identifier: Apache-2.0
"""A site's round of Ditto: what goes back is FedAvg's update; the own network is pulled and never leaves."""

from __future__ import annotations

from dsfedmed.exchange.compression import add
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.baselines.ditto import best_network, train_both
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.evaluation import EvaluateRequest
from dsfedmed.federated.wire.requests.training import DittoRequest
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.store.files import read_tensors
from tests.federated.site.tasks.baselines.toy_site import (
    again,
    as_in_fedavg,
    distance,
    facts_of,
    same,
    sent,
    start_of,
)


def ask(plan: FederationPlan, weights: Weights, number: int, pull: float = 0.1) -> Envelope[DittoRequest]:
    return Envelope(DittoRequest(plan.common, facts_of(plan, number), pull), sent(weights))


def kept(site: SiteContext, name: str) -> Weights:
    return read_tensors(site.folder / "ditto" / f"{name}.safetensors")


def evaluate_request(plan: FederationPlan) -> EvaluateRequest:
    return EvaluateRequest(plan.common, plan.teacher_spec, None, {"toy": "light"}, own={"toy": "dsf_ditto"})


def test_what_goes_back_is_fedavgs_update_with_the_steps_of_both(site: SiteContext, plan: FederationPlan) -> None:
    start = start_of(site, plan)
    reply, plain = train_both(site, ask(plan, start, 1)), as_in_fedavg(site, plan, start, 1)
    assert same(reply.tensors, plain.tensors)
    assert (reply.body.validation, reply.body.loss) == (plain.body.validation, plain.body.loss)
    assert (reply.body.steps, plain.body.steps) == (8, 4)


def test_the_own_network_goes_on_from_the_round_before_and_a_stronger_pull_holds_it_nearer(
    site: SiteContext, plan: FederationPlan
) -> None:
    """The pull is to what arrived, here far from where the own network is: lambda 5 at rate 0.1 halves the way."""
    start = start_of(site, plan)
    train_both(site, ask(plan, start, 1))
    own = kept(site, "toy-0001")
    assert distance(own, start) > 0
    far = {name: tensor + 1 for name, tensor in own.items()}
    ways = []
    for pull in (0.0, 0.5, 5.0):
        train_both(site, ask(plan, far, 2, pull))
        ways.append(distance(kept(site, "toy-0002"), far))
    assert ways[0] > 1.5 * ways[2]
    assert ways[0] > ways[1] > ways[2]
    assert distance(own, far) > 8 * ways[2], "0.5^4 of the way is left, and the gradients' part"


def test_the_best_by_its_own_validation_is_scored_and_a_site_that_never_trained_has_none(
    site: SiteContext, plan: FederationPlan
) -> None:
    assert best_network(site, evaluate_request(plan), "toy") is None
    weights = start_of(site, plan)
    for number in (1, 2, 3):
        weights = add(weights, train_both(site, ask(plan, weights, number)).tensors)
    network = best_network(site, evaluate_request(plan), "toy")
    assert same(copied_tensors(network), kept(site, "toy-best"))


def test_the_same_round_again_gives_the_same_bits_after_a_restart(site: SiteContext, plan: FederationPlan) -> None:
    start = start_of(site, plan)
    train_both(site, ask(plan, start, 1))
    first, own = train_both(site, ask(plan, start, 2)), kept(site, "toy-0002")
    second = train_both(again(site.config.data, site.folder), ask(plan, start, 2))
    assert same(first.tensors, second.tensors)
    assert same(own, kept(site, "toy-0002"))
