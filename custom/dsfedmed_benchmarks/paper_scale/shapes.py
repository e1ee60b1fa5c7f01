# SPDX-License-Identifier: Apache-2.0
"""Shapes of networks at the paper's scale, without their weights."""

from __future__ import annotations

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from dsfedmed.exchange.updates import shapes_of
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.networks.base import DTYPES, GeneratorBase
from dsfedmed.generator.networks.branch import branch_state, build_branch
from dsfedmed.generator.networks.embedded import build_base, codec_of, training_scheduler
from dsfedmed.generator.networks.stable_diffusion import MASK_WIDTHS

# The UNet of Stable Diffusion 1.5, as its published configuration has it.
UNET_WIDTHS = (320, 640, 1280, 1280)
TEXT_WIDTH = 768


def branch_shapes(config: GeneratorConfig) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of what a site sends of its branch; for Stable Diffusion, of the 1.5 without a folder."""
    return shapes_of(branch_state(build_branch(_outline(config), config)))


def _outline(config: GeneratorConfig) -> GeneratorBase:
    with torch.device("meta"):
        unet = build_base(config) if config.is_embedded else _stable_diffusion_unet()
    schedule = training_scheduler(config)
    halvings = config.unshuffle.bit_length() - 1
    widths = tuple(16 * 2**level for level in range(halvings + 1)) if config.is_embedded else MASK_WIDTHS
    return GeneratorBase(
        unet=unet.requires_grad_(False),
        codec=codec_of(config),
        context=torch.zeros(1, 1, TEXT_WIDTH),
        schedule=schedule,
        loss_weights=torch.ones(config.train_timesteps),
        mask_widths=widths,
        dtype=DTYPES[config.dtype],
    )


def _stable_diffusion_unet() -> UNet2DConditionModel:
    unet: UNet2DConditionModel = UNet2DConditionModel(
        sample_size=64,
        in_channels=4,
        out_channels=4,
        block_out_channels=UNET_WIDTHS,
        layers_per_block=2,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=8,
    )
    return unet
