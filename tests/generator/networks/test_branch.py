# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dsfedmed.errors import CheckpointError, ConfigError
from dsfedmed.exchange.compression import pack
from dsfedmed.exchange.tensors import byte_count
from dsfedmed.generator import (
    GeneratorConfig,
    MaskedImages,
    branch_state,
    build_base,
    build_branch,
    embedded_base,
    fit_branch,
    load_branch_state,
    predict,
    stable_diffusion_base,
)
from tests.generator.sd_folders import make_full_size_folder, make_tiny_folder

MB = 1_000_000
TIMES = torch.tensor([10, 900])


def _noise() -> Tensor:
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_full_size_folder(tmp_path_factory.mktemp("full") / "sd15")


@pytest.mark.parametrize(("lora_rank", "zero_rank"), [(0, 0), (4, 0), (4, 2)])
def test_unfitted_branch_changes_nothing_and_a_fitted_one_does(
    sd_folder: Path, sd_config: GeneratorConfig, scans: tuple[Tensor, Tensor], lora_rank: int, zero_rank: int
) -> None:
    config = dataclasses.replace(sd_config, lora_rank=lora_rank, zero_rank=zero_rank)
    generator_base = stable_diffusion_base(sd_folder, config)
    branch = build_branch(generator_base, config)
    with torch.no_grad():
        alone = predict(generator_base, None, _noise(), TIMES)
        assert torch.equal(predict(generator_base, branch, _noise(), TIMES, scans[1][:2]), alone)
        frozen = {n: p.clone() for n, p in branch.named_parameters() if not p.requires_grad}
    fit_branch(generator_base, branch, MaskedImages(*scans), config, 4, 0)
    with torch.no_grad():
        assert not torch.allclose(predict(generator_base, branch, _noise(), TIMES, scans[1][:2]), alone)
    assert all(torch.equal(frozen[n], p) for n, p in branch.named_parameters() if not p.requires_grad)


def test_low_rank_output_by_hand(sd_folder: Path, sd_config: GeneratorConfig) -> None:
    """An output convolution over a frozen zero weight is B A x + bias, with a factor of 1."""
    generator_base = stable_diffusion_base(sd_folder, sd_config)
    branch = build_branch(generator_base, sd_config)
    state = branch_state(branch)
    head = "controlnet_mid_block"
    assert torch.equal(branch.state_dict()[f"{head}.base_layer.weight"], torch.zeros(32, 32, 1, 1))
    for name in ("base_layer.bias", "lora_A.default.weight", "lora_B.default.weight"):
        state[f"{head}.{name}"].normal_(generator=torch.Generator().manual_seed(len(name)))
    x = torch.randn(1, 32, 3, 3, generator=torch.Generator().manual_seed(2))
    down, up = (state[f"{head}.lora_{part}.default.weight"][:, :, 0, 0] for part in "AB")
    expected = torch.einsum("or,ri,bihw->bohw", up, down, x) + state[f"{head}.base_layer.bias"].view(1, -1, 1, 1)
    torch.testing.assert_close(branch.controlnet_mid_block(x), expected)
    assert down.shape == (4, 32)


def test_only_what_is_trained_travels_and_comes_back_whole(
    sd_folder: Path, sd_config: GeneratorConfig, scans: tuple[Tensor, Tensor]
) -> None:
    generator_base = stable_diffusion_base(sd_folder, sd_config)
    branch = build_branch(generator_base, sd_config, seed=1)
    fit_branch(generator_base, branch, MaskedImages(*scans), sd_config, 3, 0)
    state = branch_state(branch)
    frozen = [name for name in branch.state_dict() if name not in state]
    assert all("lora_" in n or n.startswith("controlnet_") for n in state)
    assert any(name.endswith("to_q.base_layer.weight") for name in frozen)
    # Another seed: nothing random may be left outside of what travels.
    other = build_branch(generator_base, sd_config, seed=2)
    load_branch_state(other, {name: tensor.clone() for name, tensor in state.items()})
    with torch.no_grad():
        ours, theirs = (predict(generator_base, b, _noise(), TIMES, scans[1][:2]) for b in (branch, other))
    assert torch.equal(ours, theirs)


def test_embedded_branch_keeps_the_names_of_its_whole_state(tiny: GeneratorConfig) -> None:
    branch = build_branch(embedded_base(build_base(tiny), tiny), tiny)
    assert list(branch_state(branch)) == list(branch.state_dict())


def test_branch_of_another_configuration_is_refused(sd_folder: Path, sd_config: GeneratorConfig) -> None:
    generator_base = stable_diffusion_base(sd_folder, sd_config)
    other = build_branch(generator_base, dataclasses.replace(sd_config, lora_rank=2))
    with pytest.raises(CheckpointError, match="not a branch of this configuration"):
        load_branch_state(build_branch(generator_base, sd_config), branch_state(other))
    with pytest.raises(CheckpointError, match="tensors differ"):
        load_branch_state(build_branch(generator_base, sd_config), {})


@pytest.mark.parametrize("channels", [2, 3])
def test_branch_starts_from_the_folder_s_controlnet(
    tmp_path: Path, sd_config: GeneratorConfig, scans: tuple[Tensor, Tensor], channels: int
) -> None:
    generator_base = stable_diffusion_base(make_tiny_folder(tmp_path / "sd", 0, channels), sd_config)
    branch = build_branch(generator_base, sd_config)
    assert branch.controlnet_cond_embedding.conv_in.in_channels == 2
    assert float(branch.state_dict()["controlnet_mid_block.base_layer.weight"].std()) == pytest.approx(0.1, rel=0.2)
    with torch.no_grad():
        steered = predict(generator_base, branch, _noise(), TIMES, scans[1][:2])
        assert not torch.allclose(steered, predict(generator_base, None, _noise(), TIMES))


def test_controlnet_of_another_model_is_refused(tmp_path: Path, sd_config: GeneratorConfig, full_size: Path) -> None:
    small = stable_diffusion_base(make_tiny_folder(tmp_path / "sd", 0, 2), sd_config, "meta")
    config = dataclasses.replace(sd_config, image_size=512)
    large = dataclasses.replace(stable_diffusion_base(full_size, config, "meta"), controlnet=small.controlnet)
    with pytest.raises(ConfigError, match="does not fit the UNet"):
        build_branch(large, config)


@pytest.mark.parametrize(
    ("rank", "zero_rank", "convolutions", "numbers"),
    [
        (0, 0, True, 361_278_832),
        (16, 0, False, 14_028_144),
        (16, 16, False, 2_907_504),
        (16, 32, True, 6_189_424),
        (32, 64, True, 11_281_776),
    ],
)
def test_upload_at_the_size_of_stable_diffusion(
    full_size: Path, rank: int, zero_rank: int, convolutions: bool, numbers: int
) -> None:
    """Low rank throughout is at most 25 MB in half precision; full output convolutions alone are 23 MB."""
    config = GeneratorConfig(
        base="stable_diffusion",
        image_size=512,
        dtype="float16",
        lora_rank=rank,
        zero_rank=zero_rank,
        lora_convolutions=convolutions,
    )
    branch = build_branch(stable_diffusion_base(full_size, config, "meta"), config)
    assert sum(tensor.numel() for tensor in branch_state(branch).values()) == numbers
    assert (2 * numbers <= 25 * MB) is (rank > 0 and zero_rank > 0)


def test_upload_is_two_bytes_a_number(sd_folder: Path, sd_config: GeneratorConfig) -> None:
    state = branch_state(build_branch(stable_diffusion_base(sd_folder, sd_config), sd_config))
    assert byte_count(pack(state, "fp16")) == 2 * sum(tensor.numel() for tensor in state.values())


def test_adapters_work_on_the_embedded_foundation_too(tiny: GeneratorConfig, squares: tuple[Tensor, Tensor]) -> None:
    config = dataclasses.replace(tiny, lora_rank=4, zero_rank=4)
    generator_base = embedded_base(build_base(config), config)
    branch = build_branch(generator_base, config)
    losses = [fit_branch(generator_base, branch, MaskedImages(*squares), config, 20, 0) for _ in range(2)]
    assert losses[1] < losses[0]


def test_checkpointing_changes_memory_and_no_gradient(
    sd_folder: Path, sd_config: GeneratorConfig, scans: tuple[Tensor, Tensor]
) -> None:
    states = []
    for checkpointing in (False, True):
        config = dataclasses.replace(sd_config, gradient_checkpointing=checkpointing)
        generator_base = stable_diffusion_base(sd_folder, config)
        branch = build_branch(generator_base, config)
        assert branch.is_gradient_checkpointing is checkpointing
        fit_branch(generator_base, branch, MaskedImages(*scans), config, 3, 0)
        states.append(branch_state(branch))
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor)
