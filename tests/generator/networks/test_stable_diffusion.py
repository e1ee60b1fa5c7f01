# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dsfedmed.errors import ConfigError
from dsfedmed.generator import GeneratorConfig, MaskedImages, build_branch, fit_branch, stable_diffusion_base
from dsfedmed.generator.config_checks import CHOICES
from dsfedmed.generator.sample import sample
from tests.generator.sd_folders import make_full_size_folder, make_tiny_folder


def test_folder_gives_context_schedule_and_shapes(sd_folder: Path, sd_config: GeneratorConfig) -> None:
    generator_base = stable_diffusion_base(sd_folder, sd_config)
    assert generator_base.context.shape == (1, 77, 16)
    assert generator_base.latent_shape(32) == (4, 8, 8)
    assert generator_base.prediction_type == "epsilon"
    # Scaled linear betas by hand: the square root of beta grows evenly.
    assert float(generator_base.schedule.betas[0]) == pytest.approx(0.00085)
    assert float(generator_base.schedule.betas[-1]) == pytest.approx(0.012)
    assert generator_base.schedule.config.clip_sample is False
    assert torch.equal(generator_base.loss_weights, torch.ones(1000))
    assert not any(parameter.requires_grad for parameter in generator_base.unet.parameters())


def test_only_the_prompt_changes_the_context(sd_folder: Path, sd_config: GeneratorConfig) -> None:
    silent = dataclasses.replace(sd_config, prompt="")
    same, other = (stable_diffusion_base(sd_folder, config).context for config in (sd_config, silent))
    assert torch.equal(same, stable_diffusion_base(sd_folder, sd_config).context)
    assert not torch.allclose(same, other)


@pytest.mark.parametrize("sampler", CHOICES["sampler"])
def test_every_sampler_repeats_whatever_the_batch(
    sd_folder: Path, sd_config: GeneratorConfig, scans: tuple[Tensor, Tensor], sampler: str
) -> None:
    config = dataclasses.replace(sd_config, sampler=sampler, guidance=1.5)
    generator_base = stable_diffusion_base(sd_folder, config)
    branch = build_branch(generator_base, config)
    whole = sample(generator_base, branch, scans[1][:3], dataclasses.replace(config, sample_batch=3), 3)
    cut = sample(generator_base, branch, scans[1][:3], dataclasses.replace(config, sample_batch=1), 3)
    assert whole.shape == (3, 1, 32, 32)
    assert whole.float().std() > 1
    assert int((whole.int() - cut.int()).abs().max()) <= 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_fit_and_sample_in_every_number_format(
    sd_folder: Path, sd_config: GeneratorConfig, scans: tuple[Tensor, Tensor], dtype: str
) -> None:
    config = dataclasses.replace(sd_config, dtype=dtype)
    generator_base = stable_diffusion_base(sd_folder, config)
    before = {name: value.clone() for name, value in generator_base.unet.state_dict().items()}
    branch = build_branch(generator_base, config, 1)
    losses = [fit_branch(generator_base, branch, MaskedImages(*scans), config, 6, 0) for _ in range(3)]
    assert losses[2] < losses[0], "the same noise three times is learnt"
    assert all(torch.equal(before[name], value) for name, value in generator_base.unet.state_dict().items())
    assert all(p.dtype is torch.float32 for p in branch.parameters() if p.requires_grad)
    assert {str(p.dtype) for p in branch.parameters() if not p.requires_grad} == {f"torch.{dtype}"}
    assert sample(generator_base, branch, scans[1][:2], config, 0).float().std() > 1


def test_full_size_is_that_of_the_published_model(tmp_path: Path) -> None:
    config = GeneratorConfig(base="stable_diffusion", image_size=512)
    generator_base = stable_diffusion_base(make_full_size_folder(tmp_path / "sd15"), config, "meta")
    assert sum(parameter.numel() for parameter in generator_base.unet.parameters()) == 859_520_964
    assert sum(parameter.numel() for parameter in generator_base.codec.network.parameters()) == 83_653_863
    assert generator_base.latent_shape(512) == (4, 64, 64)
    assert generator_base.context.shape == (1, 77, 768)
    assert generator_base.mask_widths == (16, 32, 96, 256)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_missing_part_is_named_with_licence_and_way_on(
    sd_folder: Path, sd_config: GeneratorConfig, tmp_path: Path, part: str
) -> None:
    folder = shutil.copytree(sd_folder, tmp_path / "copy")
    shutil.rmtree(folder / part)
    with pytest.raises(ConfigError, match=f"no {part}/.*OpenRAIL"):
        stable_diffusion_base(folder, sd_config)


def _without(key: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if key not in name}


@pytest.mark.parametrize(
    ("part", "file", "key"),
    [
        ("unet", "diffusion_pytorch_model.safetensors", "conv_out"),
        ("vae", "diffusion_pytorch_model.safetensors", "post_quant_conv"),
        ("text_encoder", "model.safetensors", "final_layer_norm.weight"),
    ],
)
def test_incomplete_weights_are_refused(
    sd_folder: Path, sd_config: GeneratorConfig, tmp_path: Path, part: str, file: str, key: str
) -> None:
    folder = shutil.copytree(sd_folder, tmp_path / "copy")
    path = folder / part / file
    save_file(_without(key)(load_file(path)), path, metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=f"the weights of {part} cannot be read"):
        stable_diffusion_base(folder, sd_config)


def test_half_precision_files_are_taken_where_there_are_no_others(
    sd_folder: Path, sd_config: GeneratorConfig, tmp_path: Path
) -> None:
    folder = shutil.copytree(sd_folder, tmp_path / "copy")
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    halves = {name: tensor.half() for name, tensor in load_file(path).items()}
    path.unlink()
    save_file(halves, path.with_name("diffusion_pytorch_model.fp16.safetensors"), metadata={"format": "pt"})
    found = stable_diffusion_base(folder, sd_config).unet.state_dict()
    assert all(torch.equal(found[name], tensor.float()) for name, tensor in halves.items())


def test_pickled_weights_are_not_read(sd_folder: Path, sd_config: GeneratorConfig, tmp_path: Path) -> None:
    folder = shutil.copytree(sd_folder, tmp_path / "copy")
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(path), path.with_suffix(".bin"))
    path.unlink()
    with pytest.raises(ConfigError, match="the weights of unet cannot be read"):
        stable_diffusion_base(folder, sd_config)


def test_sizes_that_do_not_pass_through_are_refused(sd_folder: Path, sd_config: GeneratorConfig) -> None:
    with pytest.raises(ConfigError, match="multiple of 8"):
        stable_diffusion_base(sd_folder, dataclasses.replace(sd_config, image_size=36))


def test_parts_of_two_models_are_refused(sd_folder: Path, sd_config: GeneratorConfig, tmp_path: Path) -> None:
    full = make_full_size_folder(tmp_path / "sd15")
    folder = make_tiny_folder(tmp_path / "tiny")
    shutil.copy(full / "text_encoder" / "config.json", folder / "text_encoder" / "config.json")
    with pytest.raises(ConfigError, match="another text encoder"):
        stable_diffusion_base(folder, sd_config, "meta")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"in_channels": 9}, "other latents"),
        ({"addition_embed_type": "text", "addition_embed_type_num_heads": 2}, "SDXL"),
        ({"time_cond_proj_dim": 32}, "LCM-LoRA"),
    ],
)
def test_other_kinds_of_unet_are_refused(
    sd_folder: Path, sd_config: GeneratorConfig, tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    folder = shutil.copytree(sd_folder, tmp_path / "copy")
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ConfigError, match=reason):
        stable_diffusion_base(folder, sd_config, "meta")
