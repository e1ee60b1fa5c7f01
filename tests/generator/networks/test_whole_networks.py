# SPDX-License-Identifier: Apache-2.0
"""Networks of a folder: whole or not at all, from safetensors only."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from dsfedmed.errors import ConfigError
from dsfedmed.generator.networks.whole_networks import read_network

CPU, META = torch.device("cpu"), torch.device("meta")
FILE = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(sd_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny denoising network's folder."""
    return Path(shutil.copytree(sd_folder / "unet", tmp_path / "unet"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_it_has_the_files_numbers_in_the_format_asked_for(folder: Path, dtype: torch.dtype) -> None:
    network = read_network(UNet2DConditionModel, folder, dtype, CPU)
    for name, value in load_file(folder / FILE).items():
        assert torch.equal(network.state_dict()[name], value.to(dtype))


def test_without_memory_no_file_is_read(folder: Path) -> None:
    (folder / FILE).unlink()
    network = read_network(UNet2DConditionModel, folder, torch.float16, META)
    assert all(value.is_meta and value.dtype == torch.float16 for value in network.parameters())


def test_half_precision_is_taken_only_where_there_is_nothing_else(folder: Path) -> None:
    halves = {name: torch.zeros_like(value).half() for name, value in load_file(folder / FILE).items()}
    save_file(halves, folder / "diffusion_pytorch_model.fp16.safetensors", metadata={"format": "pt"})
    whole = read_network(UNet2DConditionModel, folder, torch.float32, CPU)
    assert any(bool(value.any()) for value in whole.parameters())
    (folder / FILE).unlink()
    halved = read_network(UNet2DConditionModel, folder, torch.float32, CPU)
    assert not any(bool(value.any()) for value in halved.parameters())
    assert all(value.dtype == torch.float32 for value in halved.parameters())


def test_a_missing_tensor_is_counted_and_refused(folder: Path) -> None:
    state = load_file(folder / FILE)
    del state["conv_out.weight"], state["conv_out.bias"]
    save_file(state, folder / FILE, metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"weights of unet cannot be read \(2 tensors are not in the file\)"):
        read_network(UNet2DConditionModel, folder, torch.float32, CPU)


@pytest.mark.parametrize("damage", ["missing", "cut short"])
def test_files_that_cannot_be_read_name_the_folder(folder: Path, damage: str) -> None:
    if damage == "missing":
        (folder / FILE).unlink()
    else:
        (folder / FILE).write_bytes((folder / FILE).read_bytes()[:1000])
    with pytest.raises(ConfigError, match="weights of unet cannot be read"):
        read_network(UNet2DConditionModel, folder, torch.float32, CPU)
