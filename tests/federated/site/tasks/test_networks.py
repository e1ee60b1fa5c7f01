# SPDX-License-Identifier: Apache-2.0
"""From a request's specification to a network at the site: what is built, what must be the server's, what travels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.data.facts import FederationFacts
from dsfedmed.errors import ConfigError, PayloadError
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.plan import FederationPlan, make_plan
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.networks import NetworkSpecs, build, load, required_init, teacher_optimizer
from dsfedmed.networks.checkpoints import save_weights
from dsfedmed.networks.promptless_sam import build_promptless_sam
from dsfedmed.networks.tiny_sam import TinySam
from dsfedmed.networks.trained_tensors import trained_tensors
from dsfedmed.training.light import LocalTraining, train_light
from dsfedmed.training.task import LabelledImages, TrainingTask
from tests.federated.tiny import BUNDLES, tiny_plan, tiny_settings

TINY_SAM, FLEXIBLE = "light_tinysam_segmentation", "light_flexible_unet_segmentation"


def plan_for(bundle: str, classes: int) -> FederationPlan:
    settings = tiny_settings(image_size=64, light={"bundle": bundle})
    facts = FederationFacts(1, classes, ("lesion", "core")[:classes], True)
    return make_plan(settings, PartyConfig(bundles=BUNDLES), facts, {"site_a": 4})


def specs_of(plan: FederationPlan) -> NetworkSpecs:
    return NetworkSpecs(plan.light_spec, plan.teacher_spec, plan.teacher_init)


def test_a_site_builds_the_teacher_with_the_servers_normalisation(site: SiteContext) -> None:
    for on in (False, True):
        specs = specs_of(tiny_plan(tiny_settings(teacher={"normalise": on})))
        assert [build(site, specs, kind).normalise for kind in ("teacher", "low_rank")] == [on, on]


def test_what_travels_is_trained_weights_normalisation_and_the_positional_code() -> None:
    network = TinySam(64)
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
def test_a_round_at_a_site_moves_what_travels_and_nothing_else(name: str, classes: int, precision: Any) -> None:
    plan = plan_for(name, classes)
    bundle, start = plan.light_bundle, plan.start_weights()
    network = bundle.network()
    received = load(network, {key: value.half() for key, value in start.items()}, "cpu")
    kept = {key: p.detach().clone() for key, p in network.named_parameters() if not p.requires_grad}
    images = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    labels = (images > 0.5).to(torch.uint8) * classes
    task = TrainingTask(classes, True, bundle.loss(), bundle.augmentation(), 2, precision)
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


def test_fedmsa_holds_every_site_to_the_servers_teacher_weights(tmp_path: Path) -> None:
    """The frozen part is the site's own file, of the same hash; without a file it is the same random start."""
    file = tmp_path / "teacher.safetensors"
    save_weights(build_promptless_sam("tiny", 32, 1, seed=9).state_dict(), file)
    settings = tiny_settings()
    specs = specs_of(replace(tiny_plan(settings), teacher=file))
    site = SiteContext("site_a", PartyConfig(bundles=BUNDLES, teacher=file), tmp_path / "own")
    built = build(site, specs, "adapted").state_dict()
    expected = build_promptless_sam("tiny", 32, 1, seed=9).state_dict()
    attention = "image_encoder.blocks.0.attn"
    assert torch.equal(built[f"{attention}.layer.qkv.weight"], expected[f"{attention}.qkv.weight"])
    other = tmp_path / "other.safetensors"
    save_weights(build_promptless_sam("tiny", 32, 1, seed=8).state_dict(), other)
    for wrong in (other, tmp_path / "none.safetensors"):
        with pytest.raises(ConfigError, match="is missing or is not the server's"):
            build(
                SiteContext("site_a", PartyConfig(bundles=BUNDLES, teacher=wrong), tmp_path / "own"), specs, "adapted"
            )
    start = tiny_plan(settings)
    elsewhere = SiteContext("site_a", PartyConfig(bundles=BUNDLES), tmp_path / "own")
    random = build(elsewhere, specs_of(start), "adapted").state_dict()
    position = "image_encoder.pos_embed"
    assert torch.equal(random[position], start.teacher_network().state_dict()[position])


def test_a_site_without_a_teacher_file_says_what_to_write(site: SiteContext, plan: FederationPlan) -> None:
    announced = replace(plan.teacher_init, sha256="0" * 64)
    with pytest.raises(ConfigError, match="`teacher` is not set"):
        build(site, replace(specs_of(plan), teacher_init=announced), "low_rank")


@pytest.mark.parametrize("kind", ["adapted", "low_rank"])
def test_a_network_built_on_the_teacher_needs_its_frozen_part(
    site: SiteContext, plan: FederationPlan, kind: Any
) -> None:
    with pytest.raises(PayloadError, match="server: named no teacher weights for a network built on them"):
        build(site, replace(specs_of(plan), teacher_init=None), kind)
    with pytest.raises(PayloadError, match="server: named no teacher"):
        build(site, replace(specs_of(plan), teacher=None), kind)
    assert required_init(specs_of(plan)) is specs_of(plan).teacher_init


@pytest.mark.parametrize("kind", ["personal", "site_specific"])
def test_a_kind_that_no_request_may_have_built_is_refused(site: SiteContext, plan: FederationPlan, kind: Any) -> None:
    with pytest.raises(PayloadError, match=f"asked to build a network of kind {kind}"):
        build(site, specs_of(plan), kind)


def test_the_light_network_is_the_sites_own_bundle(site: SiteContext, plan: FederationPlan) -> None:
    network = build(site, NetworkSpecs(plan.light_spec), "light")
    assert network.state_dict().keys() == plan.light_network().state_dict().keys()
    with pytest.raises(ConfigError, match="differs from the server's"):
        build(site, NetworkSpecs(replace(plan.light_spec, sha256="0" * 64)), "light")


@pytest.mark.parametrize(("damage", "reason"), [("missing", "tensors missing"), ("shape", "shape"), ("nan", "NaN")])
def test_weights_that_do_not_fit_are_refused_and_the_network_stays(
    site: SiteContext, plan: FederationPlan, damage: str, reason: str
) -> None:
    network = build(site, NetworkSpecs(plan.light_spec), "light")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    arrived = {name: tensor + 1.0 for name, tensor in plan.start_weights().items()}
    name = next(iter(arrived))
    if damage == "missing":
        del arrived[name]
    else:
        arrived[name] = torch.zeros(1) if damage == "shape" else arrived[name] * float("nan")
    with pytest.raises(PayloadError, match=f"server: .*{reason}"):
        load(network, arrived, "cpu")
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


def test_the_optimiser_holds_what_learns_and_nothing_else(site: SiteContext, plan: FederationPlan) -> None:
    network = build(site, specs_of(plan), "low_rank")
    optimizer = teacher_optimizer(network, 3e-3)
    (group,) = optimizer.param_groups
    assert group["lr"] == 3e-3
    assert {id(p) for p in group["params"]} == {id(p) for p in network.parameters() if p.requires_grad}
