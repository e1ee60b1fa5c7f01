# SPDX-License-Identifier: Apache-2.0
"""The embedded generator base: a small UNet over pixel patches, which the sites train together before it is frozen.

Deviation from Stable Diffusion: there is no text, so the context of the cross-attention is one constant zero token and
the blocks with attention act as self-attention.
"""

from __future__ import annotations

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.networks.base import DTYPES, GeneratorBase
from dsfedmed.generator.networks.codec import PixelUnshuffle

CONTEXT_CHANNELS = 8


def build_base(config: GeneratorConfig, seed: int = 0) -> UNet2DConditionModel:
    """Return a new base UNet over the latents of ``config``, its weights drawn from ``seed``."""
    levels = len(config.block_out_channels)
    attended = [level >= levels - config.attention_levels for level in range(levels)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        base: UNet2DConditionModel = UNet2DConditionModel(
            sample_size=config.latent_size,
            in_channels=config.latent_channels,
            out_channels=config.latent_channels,
            block_out_channels=config.block_out_channels,
            layers_per_block=config.layers_per_block,
            down_block_types=tuple("CrossAttnDownBlock2D" if flag else "DownBlock2D" for flag in attended),
            up_block_types=tuple("CrossAttnUpBlock2D" if flag else "UpBlock2D" for flag in reversed(attended)),
            mid_block_type="UNetMidBlock2DCrossAttn" if any(attended) else "UNetMidBlock2D",
            # diffusers reads attention_head_dim as the number of heads here (its issue 2011).
            attention_head_dim=tuple(
                max(width // config.attention_head_channels, 1) for width in config.block_out_channels
            ),
            cross_attention_dim=CONTEXT_CHANNELS,
            norm_num_groups=config.norm_groups,
        )
    return base


def embedded_base(base: UNet2DConditionModel, config: GeneratorConfig) -> GeneratorBase:
    """Return the generator base around ``base``, which stays on its device and in its number format."""
    schedule = training_scheduler(config)
    halvings = config.unshuffle.bit_length() - 1
    if config.gradient_checkpointing:
        base.enable_gradient_checkpointing()
    return GeneratorBase(
        unet=base,
        codec=codec_of(config),
        context=torch.zeros(1, 1, CONTEXT_CHANNELS),
        schedule=schedule,
        loss_weights=loss_weights(schedule.alphas_cumprod, config),
        mask_widths=tuple(16 * 2**level for level in range(halvings + 1)),
        dtype=DTYPES[config.dtype],
    )


def codec_of(config: GeneratorConfig) -> PixelUnshuffle:
    """Return the latent codec of ``config``."""
    sides = (config.image_size, config.extended_size)
    return PixelUnshuffle(config.unshuffle, config.image_mean, config.image_deviation, sides)


def to_latent(images: Tensor, config: GeneratorConfig) -> Tensor:
    """Return the latents of images (N, C, S, S) in [0, 1]."""
    return codec_of(config).encode(images)


def from_latent(latents: Tensor, config: GeneratorConfig) -> Tensor:
    """Return the images (N, C, S, S), in [0, 1], of latents."""
    return codec_of(config).decode(latents)


def training_scheduler(config: GeneratorConfig) -> DDPMScheduler:
    """Return the noise schedule used while fitting (squared cosine, arXiv 2102.09672)."""
    scheduler: DDPMScheduler = DDPMScheduler(
        num_train_timesteps=config.train_timesteps,
        beta_schedule="squaredcos_cap_v2",
        prediction_type=config.prediction_type,
        rescale_betas_zero_snr=config.zero_terminal_snr,
        timestep_spacing="trailing",
        clip_sample=True,
        clip_sample_range=codec_of(config).limit,
    )
    return scheduler


def loss_weights(alphas_cumprod: Tensor, config: GeneratorConfig) -> Tensor:
    """Return the loss weight of each timestep (T,) from the cumulative alphas (T,).

    The weighted error is, for each of the three predictions, that of v with 1 + snr clamped: min(1 + snr, c) on the
    clean latents, over (1 + snr) on v, over snr on epsilon. It is min-SNR weighting (Hang et al., arXiv 2303.09556)
    moved by one, because theirs is zero at pure noise, the step that sets the brightness of a whole image.
    """
    ratio = alphas_cumprod / (1 - alphas_cumprod)
    weight = (1 + ratio).clamp(max=config.snr_clamp)
    if config.prediction_type == "sample":
        return weight
    return weight / (ratio if config.prediction_type == "epsilon" else 1 + ratio)
