# SPDX-License-Identifier: Apache-2.0
"""What a fit asks of the networks in one pass: noisy latents, the prediction that is wanted, and its weighted error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dsfedmed.devices import to_device
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.networks.base import GeneratorBase

Timesteps = Callable[[int, int, torch.Generator], Tensor]
"""From a number of latents, the steps T of the schedule and a generator to int64 timesteps (count,) in [0, T)."""


@dataclass(frozen=True)
class Denoising:
    """One pass, on the device of the networks.

    Attributes:
        noisy: latents (B, c, s, s) with noise.
        timesteps: int64 (B,), how much of it.
        target: (B, c, s, s), what the network is to predict.
        weights: (B,), of each squared error.
        channels: masks (B, K, S, S), some of them blanked; None where there is no branch.
    """

    noisy: Tensor
    timesteps: Tensor
    target: Tensor
    weights: Tensor
    channels: Tensor | None

    def errors(self, prediction: Tensor) -> Tensor:
        """Return the weighted squared error (B,) of a prediction (B, c, s, s)."""
        return self.weights * (prediction - self.target).square().mean(dim=(1, 2, 3))


def denoising(
    generator_base: GeneratorBase,
    config: GeneratorConfig,
    latents: Tensor,
    channels: Tensor | None,
    draws: torch.Generator,
    timesteps_of: Timesteps,
) -> Denoising:
    """Draw noise and timesteps for latents (B, c, s, s) and blank masks (B, K, S, S) with ``config.mask_dropout``."""
    device, schedule = generator_base.device, generator_base.schedule
    noise = torch.randn(latents.shape, generator=draws)
    timesteps = timesteps_of(len(latents), generator_base.train_timesteps, draws)
    noisy = schedule.add_noise(latents, noise, timesteps)  # type: ignore[arg-type]
    if generator_base.prediction_type == "v_prediction":
        target = schedule.get_velocity(latents, noise, timesteps)  # type: ignore[arg-type]
    else:
        target = latents if generator_base.prediction_type == "sample" else noise
    if channels is not None:
        kept = torch.rand(len(channels), 1, 1, 1, generator=draws) >= config.mask_dropout
        channels = to_device(channels * kept, device)
    weights = generator_base.loss_weights[timesteps].to(device)
    return Denoising(
        to_device(noisy, device), to_device(timesteps, device), to_device(target, device), weights, channels
    )


def stratified_timesteps(count: int, train_timesteps: int, draws: torch.Generator) -> Tensor:
    """Return int64 timesteps (count,), one in each of ``count`` equal shares of [0, train_timesteps), shuffled."""
    shares = torch.randperm(count, generator=draws) + torch.rand(count, generator=draws)
    return (shares / count * train_timesteps).long().clamp(max=train_timesteps - 1)
