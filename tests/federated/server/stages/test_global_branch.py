# SPDX-License-Identifier: Apache-2.0
"""pFedSAM's global branch at the server: what a round asks, how it is averaged, and what is released."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.algorithms.product_mean import DOWN, UP, ProductMean
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages import release as release_stage
from dsfedmed.federated.server.stages.global_branch import global_training, release_global, start_global
from dsfedmed.federated.server.training_run import NOTHING
from dsfedmed.federated.wire.requests.training import PersonalRequest
from dsfedmed.federated.wire.tasks import PERSONAL
from dsfedmed.networks.lora import is_lora
from dsfedmed.training.personal_config import PersonalConfig
from tests.federated.tiny import FakeRun, tiny_settings


@pytest.fixture
def run(tmp_path: Path) -> Any:
    run: Any = FakeRun(tmp_path, tiny_settings(), lambda *_: pytest.fail("nothing is asked of a site"))
    run.METHOD = "pfedsam"
    return run


def test_a_round_asks_for_both_branches_with_the_methods_options(run: Any, plan: FederationPlan) -> None:
    config = PersonalConfig(experts=3)
    spec = global_training(run, config)
    assert (spec.name, spec.network, spec.task) == ("pfedsam", "low_rank", PERSONAL)
    facts = plan.round_facts("pfedsam", 2)
    body = spec.request(plan, spec, facts, NOTHING)
    assert body == PersonalRequest(plan.common, facts, plan.teacher_spec, plan.teacher_init, config)


def test_low_rank_updates_and_the_decoder_travel_from_a_repeatable_start(run: Any, plan: FederationPlan) -> None:
    first, again = start_global(run, plan), start_global(run, plan)
    assert any(is_lora(name) for name in first)
    assert any(name.startswith("mask_decoder.") for name in first)
    assert not [name for name in first if name.startswith("image_encoder.") and not is_lora(name)]
    assert all(torch.equal(again[name], tensor) for name, tensor in first.items())


def test_the_mean_is_one_of_products_and_what_it_loses_is_tracked(run: Any, plan: FederationPlan) -> None:
    start = start_global(run, plan)
    mean: Any = global_training(run, PersonalConfig()).mean_of(start)
    assert isinstance(mean, ProductMean)
    draws = torch.Generator().manual_seed(0)
    for site, weight in (("site_a", 4), ("site_b", 12)):
        mean.add(site, {name: 0.1 * torch.randn(t.shape, generator=draws) for name, t in start.items()}, weight)
    assert mean.result().keys() == start.keys()
    ((tag, share, step),) = run.tracked
    assert (tag, step) == ("pfedsam/cut_by_rank", 1)
    assert 0 <= share <= 1


def test_the_plain_mean_of_factors_can_be_chosen(run: Any, plan: FederationPlan) -> None:
    """(B, A) and (-B, -A) are one update, which the mean of the factors loses and that of products keeps."""
    start = {f"qkv{DOWN}": torch.zeros(1, 2), f"qkv{UP}": torch.zeros(2, 1)}
    found = {}
    for kind in ("product", "factors"):
        mean: Any = global_training(run, PersonalConfig(mean=kind)).mean_of(start)  # type: ignore[arg-type]
        for site, sign in (("site_a", 1.0), ("site_b", -1.0)):
            mean.add(site, {name: torch.full_like(tensor, sign) for name, tensor in start.items()}, 1)
        result = mean.result()
        found[kind] = float((result[f"qkv{UP}"] @ result[f"qkv{DOWN}"])[0, 0])
    assert found == pytest.approx({"product": 1.0, "factors": 0.0})


def test_the_release_is_the_whole_network_with_its_updates_merged(
    run: Any, plan: FederationPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_stage, "build_results", lambda _: {"methods": {"pfedsam_global": {"seen_dice": 0.5}}})
    weights = {name: tensor + 0.25 for name, tensor in start_global(run, plan).items()}
    release_global(run, plan, weights)
    written = torch.load(run.folder / "release" / "models" / "model.pt", weights_only=True)
    start = plan.teacher_network().state_dict()
    assert written.keys() == start.keys(), "no name of an update is left"
    moved = [name for name in start if "qkv.weight" in name and not torch.equal(written[name], start[name])]
    assert moved, "the updates are in the weights"
