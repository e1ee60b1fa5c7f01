# SPDX-License-Identifier: Apache-2.0
"""The frozen part of a generator, whatever its size: a denoising network, its latents, its context and its noise.

`dsfedmed.generator.networks.embedded.embedded_base` wraps the small base that the sites train together;
`dsfedmed.generator.networks.stable_diffusion.stable_diffusion_base` reads a Stable Diffusion folder. Everything behind
them (branch, fit, samplers, federation) is the same code.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from dsfedmed.algorithms.sides import extended
from dsfedmed.generator.networks.codec import LatentCodec

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class GeneratorBase:
    """What every site's branch is fitted beside and sampled with.

    Attributes:
        unet: the denoising network F(.; Phi).
        codec: between images and its latents.
        context: (1, L, D) float32, what its cross-attention always sees.
        schedule: the noise it was trained with, and what it predicts ("epsilon", "v_prediction" or "sample").
        loss_weights: (T,) weight of the squared error of its prediction at each timestep while fitting.
        mask_widths: channels of the mask embedding's convolutions, one more than halvings from pixels to latents.
        dtype: number format of the arithmetic; autocast unless float32.
        controlnet: folder with pre-trained ControlNet weights that branches start from; None copies the encoder.
    """

    unet: UNet2DConditionModel
    codec: LatentCodec
    context: Tensor
    schedule: DDPMScheduler
    loss_weights: Tensor
    mask_widths: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    controlnet: Path | None = None

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return self.unet.device

    @property
    def prediction_type(self) -> str:
        """What the network predicts."""
        return str(self.schedule.config["prediction_type"])

    @property
    def train_timesteps(self) -> int:
        """Diffusion steps T of the schedule."""
        return int(self.schedule.config["num_train_timesteps"])

    def latent_shape(self, image_size: int) -> tuple[int, int, int]:
        """Return the shape of the latents of one image of side ``image_size``."""
        side = self.codec.latent_side(image_size)
        return int(self.unet.config["in_channels"]), side, side

    def arithmetic(self) -> contextlib.AbstractContextManager[None]:
        """Enter the number format: autocast, or nothing for float32."""
        if self.dtype is torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)


def predict(
    generator_base: GeneratorBase,
    branch: Callable[..., Any] | None,
    latents: Tensor,
    timesteps: Tensor,
    channels: Tensor | None = None,
) -> Tensor:
    """Return the prediction (shape of ``latents``, float32) of the generator base alone or under masks (N, K, S, S).

    ControlNet (Zhang et al., arXiv 2302.05543, equation 2): y = F(x; Phi) + Z(F(x + Z(c_f; Phi_z1); Phi_c); Phi_z2)
    with c_f = E(mask); the branch adds its outputs to the skip connections of the frozen network. Masks are extended as
    the images behind the latents were.
    """
    if channels is not None:
        channels = extended(channels, latents.shape[-1] * generator_base.codec.factor)
    unet, dtype = generator_base.unet, generator_base.dtype
    context = generator_base.context.to(latents.device, dtype).expand(len(latents), -1, -1)
    noisy = latents.to(dtype)
    with generator_base.arithmetic():
        if branch is None:
            plain: Tensor = unet(noisy, timesteps, context, return_dict=False)[0]
            return plain.to(torch.float32)
        down, mid = branch(noisy, timesteps, context, controlnet_cond=channels, return_dict=False)
        steered: Tensor = unet(
            noisy,
            timesteps,
            context,
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
            return_dict=False,
        )[0]
    return steered.to(torch.float32)
