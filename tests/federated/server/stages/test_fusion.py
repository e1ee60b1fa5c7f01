# SPDX-License-Identifier: Apache-2.0
"""Rounds of sites with networks of their own, at the server: what is asked, what is refused, going on after a stop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.errors import PayloadError
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.fusion import Fusion
from dsfedmed.federated.server.stages.public_set import PublicSet
from dsfedmed.federated.server.stages.rounds import start_weights
from dsfedmed.federated.server.training_run import TrainingSpec, TrainingState, resume_or_start
from dsfedmed.federated.wire.message import Message
from dsfedmed.training.soft_labels import LEVELS
from tests.federated.tiny import flow_with_public

ARM = TrainingSpec("samfed", extra={"own": {}}, validate=lambda _: {"public": 0.5})
ONE = replace(ARM, sites=("site_a",))
IMAGES, SIZE = 6, 32


class Sites:
    """Sites whose answers are foreground everywhere, 3 steps each; ``broken`` ones leave the answers out."""

    def __init__(self) -> None:
        self.broken: set[str] = set()

    def __call__(self, site: str, task: str, request: Message) -> Message:
        assert task == "dsf_fuse"
        assert request.tensors["levels"].shape == (IMAGES, 1, SIZE, SIZE)
        levels = torch.full((IMAGES, 1, SIZE, SIZE), LEVELS, dtype=torch.uint8)
        said = {"round": request.info["round"], "steps": 3, "loss": 0.5}
        return Message(said, {} if site in self.broken else {"levels": levels})


@pytest.fixture
def sites() -> Sites:
    return Sites()


@pytest.fixture
def flow(tmp_path: Path, sites: Sites) -> Any:
    return flow_with_public(tmp_path, sites)


def _fusion(flow: Any, plan: FederationPlan, public: PublicSet) -> Fusion:
    return Fusion(flow, plan, public, epochs=2)


def test_a_round_trains_the_servers_network_and_counts_the_sites_steps(
    flow: Any, plan: FederationPlan, public: PublicSet
) -> None:
    start = start_weights(plan)
    state = _fusion(flow, plan, public).round(ARM, TrainingState(start))
    assert (state.round, state.steps) == (1, 6)
    assert state.curve[-1]["loss"] == {"site_a": 0.5, "site_b": 0.5}
    assert all(torch.isfinite(tensor).all() for tensor in state.weights.values())
    assert any(not torch.equal(state.weights[name], start[name]) for name in start)


def test_a_restarted_server_goes_on_to_the_same_end(flow: Any, plan: FederationPlan, public: PublicSet) -> None:
    """Adam's moments are part of what is kept: without them the third round would end elsewhere."""
    one, state = _fusion(flow, plan, public), TrainingState(start_weights(plan))
    for _ in range(2):
        state = one.round(ONE, state)
    kept = resume_or_start(flow, ARM, {})
    assert kept.round == 2
    assert kept.optimizer.keys() == state.optimizer.keys() != set()
    through = one.round(ONE, state).weights
    restarted = _fusion(flow, plan, public).round(ONE, kept).weights
    assert all(torch.equal(restarted[name], tensor) for name, tensor in through.items())
    forgetful = _fusion(flow, plan, public).round(ONE, replace(kept, optimizer={})).weights
    assert any(not torch.equal(forgetful[name], tensor) for name, tensor in through.items())


def test_a_site_without_answers_is_named(flow: Any, plan: FederationPlan, public: PublicSet, sites: Sites) -> None:
    sites.broken = {"site_b"}
    with pytest.raises(PayloadError, match=r"site_b.*sent no answers"):
        _fusion(flow, plan, public).round(ARM, TrainingState(start_weights(plan)))
