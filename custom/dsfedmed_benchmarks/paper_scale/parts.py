# SPDX-License-Identifier: Apache-2.0
"""The paper's parts at their real size with random weights, which need no file: SD 1.5, SAM ViT-B, TinySAM.

Random weights take the time and memory of real ones. A tiny scale of the same classes lets tests run everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import nn

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.devices import on_device
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.networks.base import DTYPES, GeneratorBase
from dsfedmed.generator.networks.codec import Autoencoder
from dsfedmed.networks.promptless_sam import PromptlessSam, build_promptless_sam
from dsfedmed.seeds import derive_seed, generator

LIGHT_BUNDLE = "light_tinysam_segmentation"
# The noise that Stable Diffusion 1.5 was trained with.
NOISE: Mapping[str, Any] = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@dataclass(frozen=True)
class PaperScale:
    """Shapes of every part.

    Attributes:
        image_size: side of the generator's images, in pixels.
        unet: arguments of the diffusers UNet.
        vae: arguments of the diffusers autoencoder.
        context: (length, width) of the text encoder's states.
        mask_widths: channels of the mask embedding's convolutions.
        teacher: a key of `dsfedmed.networks.promptless_sam.variants.VARIANTS`.
        teacher_size: side of the teacher's input, in pixels.
        light_size: side of the light network's input, in pixels.
        sampler_steps: network evaluations an image, twice with guidance.
    """

    image_size: int
    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    context: tuple[int, int]
    mask_widths: tuple[int, ...]
    teacher: str
    teacher_size: int
    light_size: int
    sampler_steps: int
    branch: Mapping[str, Any] = field(default_factory=lambda: {"lora_rank": 8, "zero_rank": 8})


def _autoencoder(widths: tuple[int, ...], layers: int, groups: int) -> dict[str, Any]:
    levels = len(widths)
    return {
        "block_out_channels": widths,
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "layers_per_block": layers,
        "latent_channels": 4,
        "norm_num_groups": groups,
    }


SCALES = {
    "full": PaperScale(
        image_size=512,
        unet={"sample_size": 64, "cross_attention_dim": 768},  # diffusers' other defaults are SD 1.5's
        vae=_autoencoder((128, 256, 512, 512), 2, 32),
        context=(77, 768),
        mask_widths=(16, 32, 96, 256),
        teacher="vit_b",
        teacher_size=1024,
        light_size=1024,
        sampler_steps=10,
    ),
    "tiny": PaperScale(
        image_size=32,
        unet={
            "sample_size": 8,
            "block_out_channels": (16, 32),
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
            "layers_per_block": 1,
            "cross_attention_dim": 16,
            "attention_head_dim": 2,
            "norm_num_groups": 8,
        },
        vae=_autoencoder((8, 8, 16), 1, 4),
        context=(7, 16),
        mask_widths=(16, 32, 64),
        teacher="tiny",
        teacher_size=32,
        light_size=32,
        sampler_steps=2,
        branch={"lora_rank": 2, "zero_rank": 2},
    ),
}


def generator_config(scale: PaperScale, precision: str, batch_size: int) -> GeneratorConfig:
    """Return the generator with a low-rank branch, RGB images and one class; ``precision`` "off" is float32."""
    return GeneratorConfig(
        base="stable_diffusion",
        dtype="float32" if precision == "off" else precision,
        image_size=scale.image_size,
        channels=3,
        batch_size=batch_size,
        gradient_checkpointing=True,
        sampler_steps=scale.sampler_steps,
        sample_batch=batch_size,
        **scale.branch,
    )


def generator_base(scale: PaperScale, config: GeneratorConfig, device: torch.device, seed: int) -> GeneratorBase:
    """Return the frozen networks of ``scale`` on ``device``, weights drawn there."""
    dtype = DTYPES[config.dtype]
    used = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=used), device:
        torch.manual_seed(derive_seed(seed, "foundation"))
        unet: UNet2DConditionModel = nn.Module.to(UNet2DConditionModel(**scale.unet), dtype)
        vae: AutoencoderKL = nn.Module.to(AutoencoderKL(**scale.vae), dtype)
    draws = generator(derive_seed(seed, "context"))
    steps = config.train_timesteps
    return GeneratorBase(
        unet=unet.requires_grad_(False).eval(),
        codec=Autoencoder(vae, config.channels),
        context=torch.randn(1, *scale.context, generator=draws),
        schedule=DDPMScheduler(num_train_timesteps=steps, clip_sample=False, timestep_spacing="trailing", **NOISE),
        loss_weights=torch.ones(steps),
        mask_widths=scale.mask_widths,
        dtype=dtype,
    )


def teacher(scale: PaperScale, device: torch.device, seed: int) -> PromptlessSam:
    """Return the promptless SAM of ``scale``, one class."""
    return on_device(build_promptless_sam(scale.teacher, scale.teacher_size, 1, seed=seed), device)


def light_bundle(scale: PaperScale, bundles: Path) -> BundleDefinition:
    """Return the TinySAM bundle at the scale's size: RGB, one class."""
    size = [scale.light_size, scale.light_size]
    return BundleDefinition(bundles / LIGHT_BUNDLE, {"image_size": size, "in_channels": 3, "num_classes": 1})


def light_network(bundle: BundleDefinition, device: torch.device, seed: int) -> nn.Module:
    """Return the bundle's network on ``device``."""
    return on_device(bundle.network(derive_seed(seed, "light")), device)
