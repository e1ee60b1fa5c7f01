# SPDX-License-Identifier: Apache-2.0
"""What a branch says of an image that it may have been fitted on: its error at removing noise, at fixed timesteps.

The loss attack on diffusion models (Matsumoto et al., arXiv 2302.03262; Carlini et al., Extracting training data from
diffusion models, USENIX Security 2023, arXiv 2301.13188, section 5): noise and timesteps are the same for every network
and drawn once for each image, so that networks differ by what they know.
"""

from __future__ import annotations

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import Tensor

from dsfedmed.generator.fit import MaskedImages
from dsfedmed.generator.networks.base import GeneratorBase, predict
from dsfedmed.seeds import derive_seed, generator

TIMESTEPS = (100, 300, 500, 700, 900)
"""In thousandths of the schedule."""
AT_ONCE = 32


@torch.inference_mode()
def denoising_errors(
    generator_base: GeneratorBase, branch: ControlNetModel | None, pairs: MaskedImages, seed: int = 0
) -> Tensor:
    """Return the squared error of the prediction, float32 (N, T), of N images under their true masks.

    Args:
        generator_base: the frozen part.
        branch: the attacked branch; None for the base alone, which sees no mask.
        pairs: images and masks.
        seed: of the noise; image i and timestep j always get the same.
    """
    schedule, steps = generator_base.schedule, generator_base.train_timesteps
    timesteps = torch.tensor([step * steps // 1000 for step in TIMESTEPS])
    found = []
    for start in range(0, len(pairs.images), AT_ONCE):
        latents = generator_base.codec.encode(pairs.images[start : start + AT_ONCE].float())
        masks = pairs.channels[start : start + AT_ONCE].float()
        columns = []
        for timestep in timesteps:
            seeds = [derive_seed(seed, "denoising", start + place, int(timestep)) for place in range(len(latents))]
            noise = torch.stack([torch.randn(latents.shape[1:], generator=generator(each)) for each in seeds])
            at = timestep.expand(len(latents))
            noisy = schedule.add_noise(latents, noise, at)  # type: ignore[arg-type]
            wanted = {"sample": latents, "epsilon": noise}.get(generator_base.prediction_type)
            if wanted is None:
                wanted = schedule.get_velocity(latents, noise, at)  # type: ignore[arg-type]
            prediction = predict(generator_base, branch, noisy, at, None if branch is None else masks)
            columns.append((prediction - wanted).square().mean(dim=(1, 2, 3)))
        found.append(torch.stack(columns, dim=1))
    return torch.cat(found)


def loss_scores(errors: Tensor, loss_weights: Tensor) -> Tensor:
    """Return minus the loss of the fit, (N,), of errors (N, T) at `TIMESTEPS`; ``loss_weights`` (T_all,) by timestep.

    Higher is likelier a member.
    """
    places = torch.tensor([step * len(loss_weights) // 1000 for step in TIMESTEPS])
    return -(errors * loss_weights.cpu()[places]).mean(dim=1)


def log_scores(errors: Tensor) -> Tensor:
    """Return minus the mean log error, (N,), of errors (N, T) > 0: near normal, as the likelihood ratio wants it."""
    return -errors.clamp(min=1e-12).log().mean(dim=1)
