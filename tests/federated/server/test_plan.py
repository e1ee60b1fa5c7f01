# SPDX-License-Identifier: Apache-2.0
"""What the federation agreed on, as requests say it, and where every compared method starts."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dsfedmed.data.facts import FederationFacts
from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.plan import FederationPlan, make_plan
from dsfedmed.federated.wire.specs import LowRankSpec, RoundFacts, RunFacts, TeacherInit, TeacherSpec
from dsfedmed.networks.checkpoints import save_weights
from dsfedmed.networks.tiny_sam import TinySam
from dsfedmed.seeds import derive_seed
from tests.federated.tiny import BUNDLES, tiny_plan, tiny_settings

TINY_SAM = "light_tinysam_segmentation"


@pytest.fixture(scope="module")
def start_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of the light TinySAM."""
    path = tmp_path_factory.mktemp("weights") / "start.safetensors"
    save_weights(TinySam(64).state_dict(), path)
    return path


def plan_for(bundle: str, light_weights: Path | None = None, seed: int = 0) -> FederationPlan:
    settings = tiny_settings(image_size=64, light={"bundle": bundle}, seed=seed)
    facts = FederationFacts(1, 1, ("lesion",), True)
    return make_plan(settings, PartyConfig(bundles=BUNDLES, light_weights=light_weights), facts, {"site_a": 4})


def test_every_method_starts_from_the_same_weights() -> None:
    plan = tiny_plan(tiny_settings())
    first, second = plan.start_weights(), plan.start_weights()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(tensor.is_floating_point() for tensor in first.values())
    other = tiny_plan(tiny_settings(seed=1)).start_weights()
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_the_weights_file_decides_the_start_and_not_the_seed(start_file: Path) -> None:
    first, second = (plan_for(TINY_SAM, start_file, seed).start_weights() for seed in (0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert "tensors loaded" in plan_for(TINY_SAM, start_file).start_light()[1]
    assert "random start" in plan_for(TINY_SAM).start_light()[1]
    assert not torch.equal(
        *(plan_for(TINY_SAM, seed=seed).start_weights()["mask_decoder.mask_tokens.weight"] for seed in (0, 1))
    )


def test_the_teacher_has_its_own_image_size() -> None:
    plan = tiny_plan(tiny_settings(teacher_image_size=64))
    assert plan.teacher_spec == TeacherSpec("tiny", 64, 1)
    assert plan.teacher_network().image_size == 64
    assert tiny_plan(tiny_settings()).teacher_network().image_size == 32
    assert tiny_settings(image_size=50).teacher_size == 56, "the next that the variant's eight tokens divide"


def test_the_teacher_may_take_out_sams_pixel_mean() -> None:
    """An image of SAM's own mean is 0 to the encoder then; in the release and by default it is itself."""
    plain, normalised = (tiny_plan(tiny_settings(teacher={"normalise": on})) for on in (False, True))
    assert not plain.teacher_network().normalise
    assert not tiny_plan(tiny_settings()).teacher_spec.normalise
    network, seen = normalised.teacher_network(), []
    network.image_encoder.register_forward_pre_hook(lambda _, images: seen.append(images[0]))
    network(torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 32, 32))
    assert float(seen[0].abs().max()) < 1e-6


def test_the_teacher_of_four_channels_has_a_stem_of_four() -> None:
    facts = FederationFacts(4, 1, ("lesion",), True, ("ADC", "FLAIR", "T1", "T2"))
    plan = make_plan(tiny_settings(), PartyConfig(bundles=BUNDLES), facts, {"site_a": 1})
    assert plan.teacher_spec == TeacherSpec("tiny", 32, 1, 4)
    network = plan.teacher_network()
    assert network.image_encoder.patch_embed.proj.weight.shape[1] == 4
    assert network(torch.rand(1, 4, 32, 32)).shape == (1, 1, 32, 32)
    assert plan.light_bundle.in_channels == plan.generator.channels == 4


def test_stable_diffusion_refuses_four_channels_by_name() -> None:
    facts = FederationFacts(4, 1, ("lesion",), True)
    settings = tiny_settings(generator_model={"base": "stable_diffusion"})
    with pytest.raises(ConfigError, match=r"generator_model\.channels: 4 .*Stable Diffusion draws 1 or 3"):
        make_plan(settings, PartyConfig(bundles=BUNDLES), facts, {"site_a": 1})


def test_an_image_size_that_the_light_network_cannot_take_is_refused_by_name() -> None:
    facts = FederationFacts(1, 1, ("lesion",), True)
    settings = tiny_settings(light={"bundle": "light_tinysam_segmentation"}, image_size=16)
    with pytest.raises(ConfigError, match="image_size 16 is below 32"):
        make_plan(settings, PartyConfig(bundles=BUNDLES), facts, {"site_a": 1})


@pytest.mark.parametrize(
    "values",
    [{"teacher_image_size": 1000, "teacher_variant": "vit_b"}, {"teacher_image_size": -16}],
)
def test_a_size_without_patches_is_refused_before_the_run(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"teacher[ _]image_size"):
        tiny_settings(**values)


def test_what_every_request_says() -> None:
    plan = tiny_plan(tiny_settings(seed=3, light={"precision": "int8", "autocast": "bfloat16"}))
    assert plan.common == RunFacts(3, plan.light_spec, 1, True, "int8", "bfloat16")
    assert plan.light_spec.bundle == "light_unet_segmentation"
    assert plan.light_spec.settings["image_size"] == [32, 32]
    assert plan.light_spec.settings["channel_def"] == {"0": "lesion"}
    assert plan.light_spec.sha256 == plan.light_bundle.sha256


def test_what_a_request_says_of_a_round() -> None:
    light = {"batch_size": 7, "epochs_per_round": 3, "keep_optimizer": False}
    plan = tiny_plan(tiny_settings(light=light))
    assert plan.round_facts("fedavg", 5) == RoundFacts("fedavg", 5, 3, 7, False)
    assert plan.round_facts("fedavg", 5, epochs=0) == RoundFacts("fedavg", 5, 0, 7, False)


def test_the_teachers_frozen_part_is_named_by_its_hash(tmp_path: Path) -> None:
    settings = tiny_settings(teacher={"lora_rank": 2, "lora_alpha": 8.0, "lora_targets": "qkv,proj"})
    plan = tiny_plan(settings)
    form = LowRankSpec(2, 8.0, ("qkv", "proj"))
    assert plan.teacher_init == TeacherInit(None, derive_seed(0, "teacher"), form)
    (tmp_path / "teacher").write_bytes(b"weights")
    with_file = replace(plan, teacher=tmp_path / "teacher")
    assert with_file.teacher_init == TeacherInit(hashlib.sha256(b"weights").hexdigest(), plan.teacher_init.seed, form)


def test_the_generator_and_the_bundle_have_the_federations_sizes() -> None:
    facts = FederationFacts(3, 2, ("cell", "nucleus"), True)
    plan = make_plan(tiny_settings(), PartyConfig(bundles=BUNDLES), facts, {"site_a": 4})
    assert (plan.generator.image_size, plan.generator.channels, plan.generator.num_classes) == (32, 3, 2)
    network = plan.light_network().eval()
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 2, 32, 32)


def test_a_bundle_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="no_such_bundle"):
        plan_for("no_such_bundle")
    with pytest.raises(ConfigError, match="`bundles` is not set"):
        make_plan(tiny_settings(), PartyConfig(), FederationFacts(1, 1, ("lesion",), True), {})


def test_another_bundle_is_named_at_the_runs_sizes() -> None:
    plan = tiny_plan(tiny_settings())
    spec = plan.spec_of("light_flexible_unet_segmentation")
    assert spec.bundle == "light_flexible_unet_segmentation"
    assert spec.settings == plan.light_spec.settings
    assert spec.sha256 != plan.light_spec.sha256
    with pytest.raises(ConfigError):
        plan.spec_of("no_such_bundle")
