# SPDX-License-Identifier: Apache-2.0
"""Light networks with frozen parts and batch normalisation in the federation: what starts, travels and is released."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.data.facts import FederationFacts, SiteFacts
from dsfedmed.errors import CheckpointError
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.plan import FederationPlan, make_plan
from dsfedmed.federated.server.stages import release as release_stage
from dsfedmed.federated.server.stages.check_sites import check_sites
from dsfedmed.federated.server.stages.rounds import start_weights
from dsfedmed.federated.server.training_run import TrainingSpec, TrainingState, train_round, validate_training
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks import TASKS
from dsfedmed.federated.site.tasks.networks import load
from dsfedmed.federated.site.uplink import pack_update
from dsfedmed.federated.wire.message import Message
from dsfedmed.networks.checkpoints import save_weights
from dsfedmed.networks.tiny_sam import TinySam
from dsfedmed.networks.trained_tensors import trained_tensors
from dsfedmed.training.light import LocalTraining, train_light
from dsfedmed.training.task import LabelledImages, TrainingTask
from tests.federated.tiny import BUNDLES, SITES, FakeFlow, tiny_settings

TINY_SAM, FLEXIBLE = "light_tinysam_segmentation", "light_flexible_unet_segmentation"
FACTS = SiteFacts(1, 1, ("lesion",), True, (0, 1), {"training": 4, "validation": 1, "test": 1}, (".png",), (64, 64),
                  (64, 64), {})  # fmt: skip


@pytest.fixture(scope="module")
def network() -> TinySam:
    return TinySam(64)


@pytest.fixture(scope="module")
def start_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of the light TinySAM."""
    path = tmp_path_factory.mktemp("weights") / "start.safetensors"
    save_weights(TinySam(64).state_dict(), path)
    return path


def plan_for(bundle: str, light_weights: Path | None = None, seed: int = 0, classes: int = 1) -> FederationPlan:
    settings = tiny_settings(image_size=64, light={"bundle": bundle}, seed=seed)
    facts = FederationFacts(1, classes, ("lesion", "core")[:classes], True)
    return make_plan(settings, PartyConfig(bundles=BUNDLES, light_weights=light_weights), facts, {"site_a": 4})


def test_what_travels_is_trained_weights_normalisation_and_the_positional_code(network: TinySam) -> None:
    travelling = trained_tensors(network)
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    beside = set(travelling) - trained
    assert trained <= set(travelling)
    assert {name.rsplit(".", 1)[-1] for name in beside} == {
        "running_mean", "running_var", "positional_encoding_gaussian_matrix",
    }  # fmt: skip
    assert sum(tensor.numel() for tensor in travelling.values()) == 9_250_196 + 9_856 + 256


def test_two_networks_agree_once_the_travelling_tensors_are_exchanged() -> None:
    torch.manual_seed(1)
    here = TinySam(64)
    torch.manual_seed(2)
    there = TinySam(64)
    images = torch.rand(1, 3, 64, 64)
    there.load_state_dict(trained_tensors(here), strict=False)
    with torch.inference_mode():
        assert torch.equal(here.eval()(images), there.eval()(images))


@pytest.mark.parametrize("name", [TINY_SAM, FLEXIBLE])
@pytest.mark.parametrize(("classes", "precision"), [(1, "off"), (2, "bfloat16")])
def test_a_round_at_a_site_moves_what_travels_and_nothing_else(name: str, classes: int, precision: str) -> None:
    plan = plan_for(name, classes=classes)
    bundle, start = plan.light_bundle, start_weights(plan)
    network = bundle.network()
    received = load(network, {key: value.half() for key, value in start.items()}, "cpu")
    kept = {key: p.detach().clone() for key, p in network.named_parameters() if not p.requires_grad}
    images = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    labels = (images > 0.5).to(torch.uint8) * classes
    task = TrainingTask(classes, True, bundle.loss(), bundle.augmentation(), 2, precision)  # type: ignore[arg-type]
    optimizer = bundle.optimizer(network.parameters())
    summary = train_light(network, optimizer, LabelledImages(images, labels), task, LocalTraining(epochs=2), seed=0)
    assert summary.steps == 2
    after = trained_tensors(network)
    assert set(after) == set(received) == set(start)
    parameters = dict(network.named_parameters())
    moved = {key for key in after if not torch.equal(after[key], received[key])}
    assert {key for key in parameters if key in after} <= moved
    assert all("running_" in key for key in moved - set(parameters))
    assert all(torch.equal(parameters[key], value) for key, value in kept.items())


def test_the_weights_file_decides_the_start_and_not_the_seed(start_file: Path) -> None:
    first, second = (start_weights(plan_for(TINY_SAM, start_file, seed)) for seed in (0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert "tensors loaded" in plan_for(TINY_SAM, start_file).start_light()[1]
    assert "random start" in plan_for(TINY_SAM).start_light()[1]
    assert not torch.equal(
        *(start_weights(plan_for(TINY_SAM, seed=seed))["mask_decoder.mask_tokens.weight"] for seed in (0, 1))
    )


def checked(folder: Path, light_weights: Path | None, bundle: str = TINY_SAM, teacher: Path | None = None) -> FakeFlow:
    """Run the stage "check sites" with two sites that report made-up facts."""
    settings = tiny_settings(image_size=64, light={"bundle": bundle})
    flow = FakeFlow(folder, settings, lambda *_: Message({"facts": FACTS.to_dict()}))
    flow.config = replace(flow.config, light_weights=light_weights, teacher=teacher)
    check_sites(flow)  # type: ignore[arg-type]
    return flow


def test_the_record_says_where_the_light_network_starts(start_file: Path, tmp_path: Path) -> None:
    flow = checked(tmp_path, start_file)
    assert "start.safetensors: " in flow.record.data["light"]["origin"]
    assert len(flow.record.data["light"]["sha256"]) == 64
    assert any("light network: light_weights: " in line for line in flow.progress.lines)
    assert checked(tmp_path, start_file).record.data["light"] == flow.record.data["light"], "resumed with the same file"


def test_a_resumed_run_does_not_start_some_methods_elsewhere(start_file: Path, tmp_path: Path) -> None:
    checked(tmp_path, start_file)
    with pytest.raises(CheckpointError, match=r"light_weights: the run began otherwise .*start\.safetensors"):
        checked(tmp_path, None)


def test_a_resumed_run_does_not_go_on_with_another_foundation(start_file: Path, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "two").write_bytes(b"2")
    flow = checked(tmp_path / "run", start_file, teacher=tmp_path / "one")
    assert flow.record.data["foundation"]["sha256"] == hashlib.sha256(b"1").hexdigest()
    checked(tmp_path / "run", start_file, teacher=tmp_path / "one")
    for other in (tmp_path / "two", None):
        with pytest.raises(CheckpointError, match="teacher: the run began otherwise"):
            checked(tmp_path / "run", start_file, teacher=other)
    assert checked(tmp_path / "without", start_file).record.data["foundation"]["sha256"] is None


def test_a_missing_or_wrong_file_stops_the_run_before_any_work(start_file: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pt: no such file; a weights file was expected"):
        checked(tmp_path / "a", tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="another architecture"):
        checked(tmp_path / "b", start_file, "light_unet_segmentation")


@pytest.mark.parametrize("name", [TINY_SAM, FLEXIBLE])
def test_the_release_holds_counters_and_idle_parts_too(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_for(name)
    best = {key: value + 0.25 for key, value in start_weights(plan).items()}
    flow: Any = FakeFlow(tmp_path, plan.settings, lambda *_: None)
    report = {"methods": {"dsfedmed": {"seen_dice": 0.5, "seen_iou": 0.4, "seen_hd95": 3.0}}}
    monkeypatch.setattr(release_stage, "build_report", lambda _: report)
    release_stage.release(flow, plan, best)
    written: dict[str, Tensor] = torch.load(tmp_path / "release" / "models" / "model.pt", weights_only=True)
    assert set(written) == set(plan.light_network().state_dict()) > set(best)
    assert all(torch.equal(written[key], value) for key, value in best.items())


@pytest.mark.parametrize(("name", "rounds"), [(TINY_SAM, 2), (FLEXIBLE, 1)])
def test_rounds_with_real_sites(name: str, rounds: int, tmp_path: Path) -> None:
    """The sites' last batch holds one image, and normalisation takes it; the second round resumes the optimiser."""
    make_demo_sites(tmp_path / "images", 0, SITES, training=5, validation=2, test=2)
    plan = replace(plan_for(name), counts=dict.fromkeys(SITES, 5))
    sites = {n: SiteContext(n, PartyConfig(data=tmp_path / "images" / n, bundles=BUNDLES), tmp_path / n) for n in SITES}

    def answer(site: str, task: str, request: Message) -> Message:
        return pack_update(TASKS[task](sites[site], request), site, sites[site].folder)

    flow: Any = FakeFlow(tmp_path / "run", plan.settings, answer)
    start = start_weights(plan)
    state = TrainingState(start)
    for _ in range(rounds):
        state = train_round(flow, plan, TrainingSpec("fedavg"), state)
    validate_training(flow, plan, TrainingSpec("fedavg"), state)
    assert [entry["loss"].keys() for entry in state.curve] == [set(SITES)] * rounds
    assert 0.0 <= state.best_dice <= 1.0
    assert set(state.weights) == set(start)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state.weights.values())
    statistics = {key: tensor for key, tensor in state.weights.items() if key.endswith("running_var")}
    assert any(not torch.equal(tensor, start[key]) for key, tensor in statistics.items()), "averaged like weights"
    assert all(float(tensor.min()) >= 0 for tensor in statistics.values())
