# SPDX-License-Identifier: Apache-2.0
"""Rounds of sites with networks of their own, at the server: what is asked, what is refused, going on after a stop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.errors import ConfigError, PayloadError
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.fusion import Fusion, site_network_specs
from dsfedmed.federated.server.stages.public_set import PublicSet
from dsfedmed.federated.server.training_run import NOTHING, TrainingSpec, resume_or_start
from dsfedmed.federated.server.training_state import TrainingState
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.semi_supervised import AgreeReply, FuseRequest
from dsfedmed.federated.wire.specs import RoundFacts, SoftLabelChoice
from dsfedmed.federated.wire.task import Task
from dsfedmed.federated.wire.tasks import FUSE
from dsfedmed.training.distillation.soft_labels import LEVELS
from dsfedmed.training.semi_supervised.config import SamFedConfig
from tests.federated.tiny import noise_manifest, run_with_public

IMAGES, SIZE = 6, 32


class Sites:
    """Sites whose answers are foreground everywhere, 3 steps each; ``broken`` ones leave the answers out."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.late = 0

    def __call__(self, site: str, task: Task[Any, Any], request: Envelope[FuseRequest]) -> Envelope[AgreeReply]:
        assert task is FUSE
        assert request.tensors["levels"].shape == (IMAGES, 1, SIZE, SIZE)
        levels = torch.full((IMAGES, 1, SIZE, SIZE), LEVELS, dtype=torch.uint8)
        said = AgreeReply(request.body.round.round + self.late, loss=0.5, steps=3)
        return Envelope(said, {} if site in self.broken else {"levels": levels})


@pytest.fixture
def sites() -> Sites:
    return Sites()


@pytest.fixture
def run(tmp_path: Path, sites: Sites) -> Any:
    return run_with_public(tmp_path, sites)


@pytest.fixture
def spec(tmp_path: Path) -> TrainingSpec:
    """A training run whose sites have networks of their own; the server validates."""
    manifest = noise_manifest(tmp_path / "announced", ["public"] * 2)

    def request(
        plan: FederationPlan, spec: TrainingSpec, facts: RoundFacts, synthetic: SoftLabelChoice | None
    ) -> FuseRequest:
        assert synthetic == NOTHING
        return FuseRequest(plan.common, facts, manifest, SamFedConfig(), True, {"site_a": plan.light_spec})

    return TrainingSpec("samfed", task=FUSE, request=request, validate=lambda _: {"public": 0.5})


def _fusion(run: Any, plan: FederationPlan, public: PublicSet) -> Fusion:
    return Fusion(run, plan, public, epochs=2)


def test_a_round_trains_the_servers_network_and_counts_the_sites_steps(
    run: Any, plan: FederationPlan, public: PublicSet, spec: TrainingSpec
) -> None:
    start = plan.start_weights()
    state = _fusion(run, plan, public).round(spec, TrainingState(start))
    assert (state.round, state.steps) == (1, 6)
    assert state.curve[-1]["loss"] == {"site_a": 0.5, "site_b": 0.5}
    assert all(torch.isfinite(tensor).all() for tensor in state.weights.values())
    assert any(not torch.equal(state.weights[name], start[name]) for name in start)


def test_a_restarted_server_goes_on_to_the_same_end(
    run: Any, plan: FederationPlan, public: PublicSet, spec: TrainingSpec
) -> None:
    """Adam's moments are part of what is kept: without them the third round would end elsewhere."""
    one_site = replace(spec, sites=("site_a",))
    one, state = _fusion(run, plan, public), TrainingState(plan.start_weights())
    for _ in range(2):
        state = one.round(one_site, state)
    kept = resume_or_start(run, spec, {})
    assert kept.round == 2
    assert kept.optimizer.keys() == state.optimizer.keys() != set()
    through = one.round(one_site, state).weights
    restarted = _fusion(run, plan, public).round(one_site, kept).weights
    assert all(torch.equal(restarted[name], tensor) for name, tensor in through.items())
    forgetful = _fusion(run, plan, public).round(one_site, replace(kept, optimizer={})).weights
    assert any(not torch.equal(forgetful[name], tensor) for name, tensor in through.items())


def test_a_site_without_answers_is_named(
    run: Any, plan: FederationPlan, public: PublicSet, sites: Sites, spec: TrainingSpec
) -> None:
    sites.broken = {"site_b"}
    with pytest.raises(PayloadError, match=r"site_b.*sent no answers"):
        _fusion(run, plan, public).round(spec, TrainingState(plan.start_weights()))


def test_an_answer_to_another_round_is_refused(
    run: Any, plan: FederationPlan, public: PublicSet, sites: Sites, spec: TrainingSpec
) -> None:
    sites.late = 1
    with pytest.raises(PayloadError, match="site_a: answered round 2 instead of 1"):
        _fusion(run, plan, public).round(spec, TrainingState(plan.start_weights()))


def test_the_server_must_validate_itself(run: Any, plan: FederationPlan, public: PublicSet, spec: TrainingSpec) -> None:
    with pytest.raises(ValueError, match="validated at the server"):
        _fusion(run, plan, public).round(replace(spec, validate=None), TrainingState(plan.start_weights()))


def test_own_bundles(plan: FederationPlan) -> None:
    assert site_network_specs(plan, SamFedConfig(), ["site_a"]) == {}
    named = SamFedConfig(site_bundles={"site_a": "light_flexible_unet_segmentation"})
    specs = site_network_specs(plan, named, ["site_a", "site_b"])
    assert specs["site_a"].bundle == "light_flexible_unet_segmentation"
    assert specs["site_b"].bundle == plan.light_spec.bundle
    assert specs["site_a"].settings["image_size"] == [32, 32]
    with pytest.raises(ConfigError, match="site_z"):
        site_network_specs(plan, SamFedConfig(site_bundles={"site_z": "light_unet_segmentation"}), ["site_a"])
    with pytest.raises(ConfigError):
        site_network_specs(plan, SamFedConfig(site_bundles={"site_a": "no_such_bundle"}), ["site_a"])
