# SPDX-License-Identifier: Apache-2.0
"""The generator as one network: masks in, images out, noise by seed and number."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dsfedmed.errors import ConfigError
from dsfedmed.generator import GeneratorConfig, embedded_base
from dsfedmed.generator.bundle import MaskToImage
from dsfedmed.generator.sample import sample

SETTINGS: dict[str, Any] = {
    "image_size": 16, "num_classes": 2, "unshuffle": 2, "block_out_channels": [8, 16], "norm_groups": 4,
    "attention_head_channels": 8, "sampler_steps": 2,
}  # fmt: skip


def network(seed: int = 0) -> MaskToImage:
    """One whose parameters do not depend on earlier draws."""
    torch.manual_seed(4)
    return MaskToImage(SETTINGS, seed).eval()


def masks(count: int) -> torch.Tensor:
    channels = torch.zeros(count, 2, 16, 16)
    channels[:, :, 4:10, 5:12] = 1
    return channels


def test_it_draws_what_the_generator_samples_under_these_numbers() -> None:
    both = network(seed=7)
    config = GeneratorConfig.from_dict(SETTINGS)
    expected = sample(embedded_base(both.base, config), both.branch, masks(5), config, 7)
    images = torch.cat([both(masks(2)), both(masks(3))])
    assert images.dtype == torch.float32
    assert torch.equal((images * 255).round().to(torch.uint8), expected)
    assert both.drawn == 5


def test_every_image_has_its_own_noise_and_a_new_network_repeats_it() -> None:
    images = network()(masks(2))
    assert not torch.equal(images[0], images[1])
    assert torch.equal(images, network()(masks(2)))
    assert not torch.equal(images, network(seed=1)(masks(2)))


def test_keys_name_base_and_branch() -> None:
    state = network().state_dict()
    assert {name.split(".")[0] for name in state} == {"base", "branch"}
    assert {"base.conv_in.weight", "branch.conv_in.weight"} <= state.keys()


def test_settings_are_those_of_the_generator() -> None:
    with pytest.raises(ConfigError, match="sampler_steps"):
        MaskToImage({**SETTINGS, "sampler_stepps": 3})
