# SPDX-License-Identifier: Apache-2.0
"""A site's fine-tuning: from what arrived, by its own validation; the network stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks import train as train_module
from dsfedmed.federated.site.tasks.baselines.fine_tuning import best_network, fine_tune
from dsfedmed.federated.site.tasks.local_training import SiteData, validate
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.evaluation import EvaluateRequest
from dsfedmed.federated.wire.requests.training import LocalRequest
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.store.files import read_tensors
from dsfedmed.training.step_rules import StepRules
from tests.federated.site.tasks.baselines.toy_site import again, distance, same, sent, start_of


def ask(plan: FederationPlan, weights: Weights, epochs: int = 2, rate: float = 1.0) -> Envelope[LocalRequest]:
    body = LocalRequest(plan.common, epochs, plan.settings.light.batch_size, rules=StepRules(rate))
    return Envelope(body, sent(weights))


def kept(site: SiteContext) -> Weights:
    return read_tensors(site.folder / "fine_tuning" / "own.safetensors")


def evaluate_request(plan: FederationPlan) -> EvaluateRequest:
    return EvaluateRequest(plan.common, plan.teacher_spec, None, {"toy": "light"}, own={"toy": "dsf_fine_tune"})


def test_nothing_but_numbers_leaves_and_the_best_pass_is_scored(site: SiteContext, plan: FederationPlan) -> None:
    assert best_network(site, evaluate_request(plan), "toy") is None
    start = start_of(site, plan)
    reply = fine_tune(site, ask(plan, start))
    assert (reply.tensors, reply.body.steps) == ({}, 4)
    network = best_network(site, evaluate_request(plan), "toy")
    assert network is not None
    assert same(copied_tensors(network), kept(site))
    assert reply.body.validation == validate(SiteData(site, plan.common, 4), network)


def test_the_network_as_it_came_is_kept_where_no_pass_is_better(site: SiteContext, plan: FederationPlan) -> None:
    """One whose last layer marks everything: Dice of all-foreground, which small steps do not change."""
    start = {**start_of(site, plan), "2.bias": torch.full((1,), 9.0)}
    reply = fine_tune(site, ask(plan, start, rate=1e-4))
    assert reply.body.epoch == 0
    assert same(kept(site), start)


def test_a_tenth_of_the_rate_goes_about_a_tenth_of_the_way(
    site: SiteContext, plan: FederationPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, ways = start_of(site, plan), []
    for rate in (1.0, 0.1):
        rising = iter((0.1, 0.2))
        monkeypatch.setattr(train_module, "validate", lambda *_, found=rising: next(found))
        assert fine_tune(site, ask(plan, start, epochs=1, rate=rate)).body.epoch == 1
        ways.append(distance(kept(site), start))
    assert ways[1] == pytest.approx(ways[0] / 10, rel=0.2)


def test_the_same_bits_again_after_a_restart(site: SiteContext, plan: FederationPlan) -> None:
    start = start_of(site, plan)
    first, own = fine_tune(site, ask(plan, start)), kept(site)
    second = fine_tune(again(site.config.data, site.folder), ask(plan, start))
    assert first == replace(second, tensors={})
    assert same(own, kept(site))
