# SPDX-License-Identifier: Apache-2.0
"""The diffusion networks: a base UNet and, per hospital, a ControlNet branch beside it.

ControlNet (Zhang et al., arXiv 2302.05543, equation 2): y = F(x; Phi) + Z(F(x + Z(c_f; Phi_z1); Phi_c); Phi_z2) with
c_f = E(mask), F(.; Phi) frozen, Phi_c a trainable copy of its encoder and Z convolutions that start at zero, so that
an unfitted branch changes nothing. Deviation: there is no text, so the context of the cross-attention is one constant
zero token and the blocks with attention act as self-attention.
"""

from __future__ import annotations

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor

from dsfedmed.generator.codec import PixelUnshuffle
from dsfedmed.generator.config import GeneratorConfig

CONTEXT_CHANNELS = 8

Sampler = DDPMScheduler | DDIMScheduler | UniPCMultistepScheduler


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


def build_branch(base: UNet2DConditionModel, config: GeneratorConfig, seed: int = 0) -> ControlNetModel:
    """Return a branch for ``base``: its encoder copied, mask embedding drawn from ``seed``, outputs zero.

    The mask embedding halves its input once per factor of two of ``config.unshuffle``, so masks (N, K, S, S) come in
    at image size.
    """
    halvings = config.unshuffle.bit_length() - 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        branch: ControlNetModel = ControlNetModel.from_unet(
            base,
            conditioning_channels=config.num_classes,
            conditioning_embedding_out_channels=tuple(16 * 2**level for level in range(halvings + 1)),
        )
    return branch


def null_context(latents: Tensor) -> Tensor:
    """Return the constant context (N, 1, CONTEXT_CHANNELS) that stands where a text would."""
    return latents.new_zeros(len(latents), 1, CONTEXT_CHANNELS)


def predict(
    base: UNet2DConditionModel,
    branch: ControlNetModel | None,
    latents: Tensor,
    timesteps: Tensor,
    channels: Tensor | None = None,
) -> Tensor:
    """Return the prediction (shape of ``latents``) of the base alone or, with a branch, under masks (N, K, S, S)."""
    context = null_context(latents)
    if branch is None:
        plain: Tensor = base(latents, timesteps, context, return_dict=False)[0]
        return plain
    down, mid = branch(latents, timesteps, context, controlnet_cond=channels, return_dict=False)
    steered: Tensor = base(
        latents,
        timesteps,
        context,
        down_block_additional_residuals=down,
        mid_block_additional_residual=mid,
        return_dict=False,
    )[0]
    return steered


def codec_of(config: GeneratorConfig) -> PixelUnshuffle:
    """Return the latent codec of ``config``."""
    return PixelUnshuffle(config.unshuffle, config.image_mean, config.image_deviation)


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


def sampling_scheduler(config: GeneratorConfig) -> Sampler:
    """Return the sampler named by ``config.sampler`` on the same schedule, its timesteps set."""
    trained = training_scheduler(config)
    if config.sampler == "ddpm":
        scheduler = trained
    elif config.sampler == "ddim":
        scheduler = DDIMScheduler.from_config(trained.config)
    else:
        scheduler = UniPCMultistepScheduler.from_config(trained.config)
    scheduler.set_timesteps(config.sampler_steps)
    return scheduler
