# SPDX-License-Identifier: Apache-2.0
"""What every training task of a site does: steps reported, an optimiser that lasts over rounds, and validation."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.local_training import SiteData, fit, keep_optimizer, restore_optimizer, validate
from dsfedmed.federated.wire.message import CACHED_ROUNDS
from dsfedmed.training.light import LocalTraining


@pytest.fixture
def data(site: SiteContext, plan: FederationPlan) -> SiteData:
    return SiteData(site, plan.common, 4)


def stepped(parameter: nn.Parameter, steps: int) -> torch.optim.Optimizer:
    optimizer = torch.optim.Adam([parameter], lr=0.1)
    for _ in range(steps):
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    return optimizer


def taken(optimizer: torch.optim.Optimizer) -> int:
    """Return how many steps an Adam believes to have taken."""
    return max((int(state["step"]) for state in optimizer.state.values()), default=0)


def test_steps_are_reported_to_the_site_or_where_they_are_wanted(data: SiteData, plan: FederationPlan) -> None:
    own: list[tuple[int, int]] = []
    other: list[tuple[int, int]] = []
    data.site.on_progress = lambda done, total: own.append((done, total))
    network = plan.light_network()
    optimizer = plan.light_bundle.optimizer(network.parameters())
    assert fit(data, network, optimizer, 0, LocalTraining(2)).steps == 4
    assert own == [(1, 4), (2, 4), (3, 4), (4, 4)]
    fit(data, network, optimizer, 0, LocalTraining(1), on_progress=lambda done, total: other.append((done, total)))
    assert (len(own), other) == (4, [(1, 2), (2, 2)])


def test_another_loss_takes_the_place_of_the_bundles(data: SiteData, plan: FederationPlan) -> None:
    network = plan.light_network()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    summary = fit(data, network, optimizer, 0, LocalTraining(1), loss=lambda logits, _: 0 * logits.sum() + 7.0)
    assert summary.mean_loss == pytest.approx(7.0)


def test_the_dice_is_that_of_the_validation_part(data: SiteData) -> None:
    """A network that says foreground everywhere has the Dice of each image's share of foreground, 2p / (1 + p)."""

    class Everywhere(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(images), 1, *images.shape[2:])

    labels = data.site.arrays("validation", data.common.light).labels.flatten(1).float()
    share = labels.mean(1)
    assert validate(data, Everywhere()) == pytest.approx(float((2 * share / (1 + share)).mean()), abs=1e-4)


def test_the_state_goes_on_with_the_round_before_and_no_other(site: SiteContext, plan: FederationPlan) -> None:
    facts = plan.round_facts("fedavg", 3)
    keep_optimizer(site, facts, stepped(nn.Parameter(torch.zeros(2)), 5), "fedavg")
    for number, known in ((4, 5), (5, 0), (3, 0)):
        optimizer = stepped(nn.Parameter(torch.zeros(2)), 0)
        restore_optimizer(site, replace(facts, round=number), optimizer, "fedavg")
        assert taken(optimizer) == known, "a site that missed a round starts with a new one"
    other = stepped(nn.Parameter(torch.zeros(2)), 0)
    restore_optimizer(site, replace(facts, round=4), other, "fedprox")
    assert taken(other) == 0


def test_a_run_that_keeps_no_state_writes_and_reads_none(site: SiteContext, plan: FederationPlan) -> None:
    facts = replace(plan.round_facts("fedavg", 3), keep_optimizer=False)
    keep_optimizer(site, facts, stepped(nn.Parameter(torch.zeros(2)), 5), "fedavg")
    assert not (site.folder / "optimizer").exists()
    keep_optimizer(site, replace(facts, keep_optimizer=True), stepped(nn.Parameter(torch.zeros(2)), 5), "fedavg")
    optimizer = stepped(nn.Parameter(torch.zeros(2)), 0)
    restore_optimizer(site, replace(facts, round=4), optimizer, "fedavg")
    assert taken(optimizer) == 0


def test_states_are_kept_as_long_as_replies(site: SiteContext, plan: FederationPlan) -> None:
    optimizer = stepped(nn.Parameter(torch.zeros(2)), 1)
    for number in range(1, CACHED_ROUNDS + 3):
        keep_optimizer(site, plan.round_facts("fedavg", number), optimizer, "fedavg")
    kept = {path.stem for path in (site.folder / "optimizer").iterdir()}
    assert kept == {f"fedavg-{number:04d}" for number in range(3, CACHED_ROUNDS + 3)}


def test_the_rate_is_the_requests_and_not_the_rounds_before(site: SiteContext, plan: FederationPlan) -> None:
    parameter = nn.Parameter(torch.zeros(2))
    keep_optimizer(site, plan.round_facts("fedavg", 1), stepped(parameter, 2), "fedavg")
    slower = torch.optim.Adam([parameter], lr=0.02)
    restore_optimizer(site, plan.round_facts("fedavg", 2), slower, "fedavg")
    assert taken(slower) == 2
    assert slower.param_groups[0]["lr"] == 0.02
