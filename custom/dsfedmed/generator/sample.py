# SPDX-License-Identifier: Apache-2.0
"""Drawing images from a branch under given masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import Tensor

from dsfedmed.errors import DataError
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.networks.base import GeneratorBase, predict
from dsfedmed.generator.samplers import STOCHASTIC, sampling_scheduler
from dsfedmed.seeds import derive_seed, generator


def sample(
    generator_base: GeneratorBase,
    branch: ControlNetModel,
    channels: Tensor,
    config: GeneratorConfig,
    seed: int,
    on_batch: Callable[[int], None] | None = None,
    first_index: int = 0,
) -> Tensor:
    """Return one image, uint8 (N, C, S, S) on the CPU, for each mask of ``channels`` (N, K, S, S).

    Image i draws its noise from a generator of its own, seeded by (seed, first_index + i), so neither the batch size
    nor the cutting into several calls changes it (beyond the rounding of one grey level that a library may do
    differently for another batch shape).

    Args:
        generator_base: the frozen part, on the device of the branch.
        branch: the hospital's branch.
        channels: masks in {0, 1}, float or integer.
        config: sampler, steps, guidance, and images per network call (``sample_batch``).
        seed: the seed of the whole set.
        on_batch: called after each batch with the number of images done in this call.
        first_index: the index of the first mask in the whole set, when it is drawn in several calls.

    Raises:
        DataError: the masks do not fit ``config``.
    """
    wanted = (config.num_classes, config.image_size, config.image_size)
    if channels.ndim != 4 or tuple(channels.shape[1:]) != wanted:
        raise DataError(
            "generator sample",
            f"masks have shape {tuple(channels.shape)}, not (N, {wanted})",
            "Give one channel per class at the generator's image size.",
        )
    done = [torch.empty(0, config.channels, config.image_size, config.image_size, dtype=torch.uint8)]
    for start in range(0, len(channels), config.sample_batch):
        masks = channels[start : start + config.sample_batch].to(torch.float32)
        seeds = [derive_seed(seed, "sample", first_index + start + place) for place in range(len(masks))]
        done.append(_sample_batch(generator_base, branch, masks, config, seeds))
        if on_batch is not None:
            on_batch(start + len(masks))
    return torch.cat(done)


@torch.inference_mode()
def _sample_batch(
    generator_base: GeneratorBase, branch: ControlNetModel, masks: Tensor, config: GeneratorConfig, seeds: list[int]
) -> Tensor:
    """Run the sampler from noise to uint8 images; one generator per image."""
    device = generator_base.device
    draws = [generator(value) for value in seeds]
    shape = generator_base.latent_shape(config.image_size)
    latents = torch.stack([torch.randn(shape, generator=draw) for draw in draws]).to(device)
    masks = masks.to(device)
    scheduler = sampling_scheduler(generator_base.schedule, config)
    noise_source: dict[str, Any] = {"generator": draws} if config.sampler in STOCHASTIC else {}
    latents = latents * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps.to(device):
        prediction = _guided(generator_base, branch, latents, timestep, masks, config.guidance)
        latents = scheduler.step(prediction, timestep, latents, return_dict=False, **noise_source)[0]
    return generator_base.codec.decode(latents).mul(255).round().to(torch.uint8).cpu()


def _guided(
    generator_base: GeneratorBase,
    branch: ControlNetModel,
    latents: Tensor,
    timestep: Tensor,
    masks: Tensor,
    guidance: float,
) -> Tensor:
    """Classifier-free guidance (arXiv 2207.12598): blank + guidance * (masked - blank); 1 needs no second pass."""
    masked = predict(generator_base, branch, latents, timestep, masks)
    if guidance == 1:
        return masked
    blank = predict(generator_base, branch, latents, timestep, torch.zeros_like(masks))
    return blank + guidance * (masked - blank)
