# SPDX-License-Identifier: Apache-2.0
"""A site's round of SCAFFOLD: FedAvg's where the controls are zero, corrected where not, the same bits again."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.algorithms.drift.control_variates import CONTROL, without_controls, zero_controls
from dsfedmed.exchange.compression import add
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.baselines.controlled import train_controlled
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.training import TrainReply, TrainRequest
from dsfedmed.store.files import read_tensors
from tests.federated.site.tasks.baselines.toy_site import (
    again,
    as_in_fedavg,
    facts_of,
    same,
    sent,
    start_of,
)


@pytest.fixture
def start(site: SiteContext, plan: FederationPlan) -> Weights:
    return {**start_of(site, plan), **zero_controls(site.bundle(plan.light_spec).network())}


def ask(plan: FederationPlan, state: Weights, number: int, epochs: int = 2) -> Envelope[TrainRequest]:
    facts = facts_of(plan, number, epochs=epochs)
    return Envelope(TrainRequest(plan.common, facts, "light", plan.teacher_spec), sent(state))


def of_controls(tensors: Weights) -> Weights:
    return {name: tensor for name, tensor in tensors.items() if name.startswith(CONTROL)}


def test_the_first_round_is_fedavgs_and_its_controls_are_what_moved_it(
    site: SiteContext, plan: FederationPlan, start: Weights
) -> None:
    """Four steps at rate 0.1: (x - y) / (4 * 0.1) is the mean gradient."""
    reply, plain = train_controlled(site, ask(plan, start, 1)), as_in_fedavg(site, plan, without_controls(start), 1)
    assert same(without_controls(reply.tensors), plain.tensors)
    assert reply.body == plain.body
    assert reply.body.steps == 4
    for name, control in of_controls(reply.tensors).items():
        torch.testing.assert_close(control, -plain.tensors[name.removeprefix(CONTROL)] / 0.4, rtol=1e-3, atol=1e-5)


def test_the_next_round_is_corrected_by_both_controls(site: SiteContext, plan: FederationPlan, start: Weights) -> None:
    first = train_controlled(site, ask(plan, start, 1))
    alone = add(start, first.tensors)  # the server of a single site has the site's own control: nothing to correct
    uncorrected = train_controlled(site, ask(plan, alone, 2))
    plain = as_in_fedavg(site, plan, without_controls(alone), 2)
    for name, tensor in plain.tensors.items():
        torch.testing.assert_close(uncorrected.tensors[name], tensor, rtol=1e-4, atol=1e-6)
    shifted = {name: tensor + 1 if name.startswith(CONTROL) else tensor for name, tensor in alone.items()}
    corrected = train_controlled(site, ask(plan, shifted, 2))
    bias = "2.bias"
    assert corrected.tensors[bias].item() < plain.tensors[bias].item() - 0.2, "1 more in every gradient, four steps"


def test_the_same_round_again_gives_the_same_bits_after_a_restart(
    site: SiteContext, plan: FederationPlan, start: Weights
) -> None:
    state = add(start, train_controlled(site, ask(plan, start, 1)).tensors)
    first = train_controlled(site, ask(plan, state, 2))
    second = train_controlled(again(site.config.data, site.folder), ask(plan, state, 2))
    assert same(first.tensors, second.tensors)
    kept = read_tensors(site.folder / "controlled" / "toy-0002.safetensors")
    before = read_tensors(site.folder / "controlled" / "toy-0001.safetensors")
    assert same(of_controls(first.tensors), {name: tensor - before[name] for name, tensor in kept.items()})


def test_a_validation_trains_nothing(site: SiteContext, plan: FederationPlan, start: Weights) -> None:
    reply = train_controlled(site, ask(plan, start, 1, epochs=0))
    assert reply.body == TrainReply(1, reply.body.validation)
    assert not reply.tensors
    assert not (site.folder / "controlled").exists()
