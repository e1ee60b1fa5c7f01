# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from dsfedmed.generator import GeneratorConfig
from tests.generator.sd_folders import make_tiny_folder


@pytest.fixture
def tiny() -> GeneratorConfig:
    return GeneratorConfig(
        image_size=16,
        num_classes=2,
        unshuffle=2,
        block_out_channels=(8, 16),
        layers_per_block=1,
        attention_head_channels=8,
        norm_groups=4,
        batch_size=8,
        base_learning_rate=3e-3,
        branch_learning_rate=3e-3,
        warmup_steps=2,
        guidance=1.0,
        sampler_steps=4,
    )


@pytest.fixture
def squares() -> tuple[Tensor, Tensor]:
    """Return 12 grey images (12, 1, 16, 16) with a bright square in a random place, and two nested mask channels."""
    draws = torch.Generator().manual_seed(0)
    images = 0.2 + 0.02 * torch.rand(12, 1, 16, 16, generator=draws)
    channels = torch.zeros(12, 2, 16, 16)
    for image, mask in zip(images, channels, strict=True):
        x, y = torch.randint(1, 8, (2,), generator=draws).tolist()
        image[0, x : x + 7, y : y + 7] += 0.4
        mask[0, x : x + 7, y : y + 7] = 1
        mask[1, x + 2 : x + 5, y + 2 : y + 5] = 1
    return images, channels


@pytest.fixture(scope="session")
def sd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in Stable Diffusion's format, tiny."""
    return make_tiny_folder(tmp_path_factory.mktemp("sd") / "tiny")


@pytest.fixture
def sd_config() -> GeneratorConfig:
    return GeneratorConfig(
        base="stable_diffusion",
        prompt="a scan",
        image_size=32,
        num_classes=2,
        lora_rank=4,
        zero_rank=4,
        batch_size=4,
        branch_learning_rate=3e-3,
        warmup_steps=2,
        guidance=1.0,
        sampler_steps=3,
        sample_batch=2,
    )


@pytest.fixture
def scans() -> tuple[Tensor, Tensor]:
    """Return 8 grey images (8, 1, 32, 32) and two nested mask channels."""
    draws = torch.Generator().manual_seed(0)
    images, channels = 0.1 * torch.rand(8, 1, 32, 32, generator=draws), torch.zeros(8, 2, 32, 32)
    for image, mask in zip(images, channels, strict=True):
        x, y = torch.randint(1, 16, (2,), generator=draws).tolist()
        image[0, x : x + 14, y : y + 14] += 0.7
        mask[0, x : x + 14, y : y + 14] = 1
        mask[1, x + 4 : x + 10, y + 4 : y + 10] = 1
    return images, channels
