# SPDX-License-Identifier: Apache-2.0
"""Fitting the base (unconditional) and the branch (mask to image, base frozen): plain torch loops.

Loss: mean squared error of the prediction, weighted so that for each of the three predictions it is the error of v with
1 + snr clamped: min(1 + snr, c) on the clean latents, over (1 + snr) on v, over snr on epsilon. It is min-SNR weighting
(Hang et al., arXiv 2303.09556) moved by one, because theirs is zero at pure noise, the step that sets the brightness
of a whole image. Timesteps are stratified over the batch, one per equal share of [0, T), which has the same expectation
and less variance than independent draws.

The base is fitted by many short calls from given (averaged) weights. AdamW starts anew in each call: moments
of one site's run would not fit the averaged weights, and they would double what a site keeps. A short linear warm-up
bounds the first, sign-like steps of a fresh AdamW.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor, nn

from dsfedmed.errors import DataError, DSFedMedError
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.diffusion import predict, to_latent, training_scheduler
from dsfedmed.seeds import derive_seed, generator

OnStep = Callable[[int, float], None]


def fit_base(
    base: UNet2DConditionModel,
    images: Tensor,
    config: GeneratorConfig,
    steps: int,
    seed: int,
    on_step: OnStep | None = None,
    first_step: int = 0,
    total_steps: int | None = None,
) -> float:
    """Train ``base`` in place on images (N, C, S, S) in [0, 1], without masks, and return the mean loss.

    Args:
        base: the network, on any device; it starts from the weights it has.
        images: the site's training images.
        config: hyper-parameters.
        steps: gradient steps of this call, 1 or more.
        seed: everything random derives from it; give another seed to each round.
        on_step: called after each step with its number in this call (from 1) and its loss.
        first_step: steps taken in earlier calls (rounds); places this call on the cosine decay of the learning rate.
        total_steps: steps of all calls; None means that this call is the last.

    Raises:
        DataError: the images do not fit ``config``.
        DSFedMedError: the loss is not finite, with the step named.
    """
    _check_images(images, config)
    batches = _batches(images, None, config, steps, derive_seed(seed, "fit base"))
    losses = _Losses(config, base, None)
    rates = _learning_rates(config.base_learning_rate, config, steps, first_step, total_steps)
    return _optimise(base, (losses.loss(*batch) for batch in batches), rates, config, on_step)


def fit_branch(
    base: UNet2DConditionModel,
    branch: ControlNetModel,
    images: Tensor,
    channels: Tensor,
    config: GeneratorConfig,
    steps: int,
    seed: int,
    on_step: OnStep | None = None,
) -> float:
    """Train ``branch`` in place on images (N, C, S, S) in [0, 1] and their masks (N, K, S, S); return the mean loss.

    ``base`` is frozen: it gets no gradients and keeps every bit. Masks are blanked with probability
    ``config.mask_dropout``, so that the sampler can guide against the blank mask. Arguments and errors are those of
    ``fit_base``.
    """
    _check_images(images, config)
    _check_channels(channels, config, len(images))
    batches = _batches(images, channels, config, steps, derive_seed(seed, "fit branch"))
    losses = _Losses(config, base, branch)
    rates = _learning_rates(config.branch_learning_rate, config, steps, 0, None)
    with _frozen(base):
        return _optimise(branch, (losses.loss(*batch) for batch in batches), rates, config, on_step)


class _Losses:
    """The weighted denoising loss of one batch."""

    def __init__(self, config: GeneratorConfig, base: UNet2DConditionModel, branch: ControlNetModel | None) -> None:
        self.config, self.base, self.branch = config, base, branch
        self.device = base.device
        self.scheduler: DDPMScheduler = training_scheduler(config)
        self.weights = loss_weights(self.scheduler.alphas_cumprod, config)

    def loss(self, images: Tensor, channels: Tensor | None, draws: torch.Generator) -> Tensor:
        """Return the loss of images (B, C, S, S), with masks (B, K, S, S) where there is a branch."""
        latents = to_latent(images, self.config)
        noise = torch.randn(latents.shape, generator=draws)
        timesteps = _stratified_timesteps(len(latents), self.config.train_timesteps, draws)
        noisy = self.scheduler.add_noise(latents, noise, timesteps)  # type: ignore[arg-type]
        if self.config.prediction_type == "v_prediction":
            target = self.scheduler.get_velocity(latents, noise, timesteps)  # type: ignore[arg-type]
        else:
            target = latents if self.config.prediction_type == "sample" else noise
        if channels is not None:
            kept = torch.rand(len(channels), 1, 1, 1, generator=draws) >= self.config.mask_dropout
            channels = (channels * kept).to(self.device)
        prediction = predict(self.base, self.branch, noisy.to(self.device), timesteps.to(self.device), channels)
        errors = (prediction - target.to(self.device)).square().mean(dim=(1, 2, 3))
        return (self.weights[timesteps].to(self.device) * errors).mean()


def loss_weights(alphas_cumprod: Tensor, config: GeneratorConfig) -> Tensor:
    """Return the loss weight of each timestep (T,) from the cumulative alphas (T,), as the module's text says."""
    ratio = alphas_cumprod / (1 - alphas_cumprod)
    weight = (1 + ratio).clamp(max=config.snr_clamp)
    if config.prediction_type == "sample":
        return weight
    return weight / (ratio if config.prediction_type == "epsilon" else 1 + ratio)


def _stratified_timesteps(count: int, train_timesteps: int, draws: torch.Generator) -> Tensor:
    """Return int64 timesteps (count,), one in each of ``count`` equal shares of [0, train_timesteps), shuffled."""
    shares = torch.randperm(count, generator=draws) + torch.rand(count, generator=draws)
    return (shares / count * train_timesteps).long().clamp(max=train_timesteps - 1)


def _batches(
    images: Tensor, channels: Tensor | None, config: GeneratorConfig, steps: int, seed: int
) -> Iterator[tuple[Tensor, Tensor | None, torch.Generator]]:
    """Yield ``steps`` batches of images and masks, flipped jointly; each image is seen once before any is again."""
    draws = generator(seed)
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        while len(order) < config.batch_size:
            order = torch.cat([order, torch.randperm(len(images), generator=draws)])
        chosen, order = order[: config.batch_size], order[config.batch_size :]
        picked = images[chosen].to(torch.float32)
        masks = None if channels is None else channels[chosen].to(torch.float32)
        for axis in config.flip_axes:
            flip = torch.rand(len(chosen), 1, 1, 1, generator=draws) < 0.5
            picked = torch.where(flip, picked.flip(2 + axis), picked)
            masks = None if masks is None else torch.where(flip, masks.flip(2 + axis), masks)
        yield picked, masks, draws


def _learning_rates(
    peak: float, config: GeneratorConfig, steps: int, first_step: int, total_steps: int | None
) -> list[float]:
    """Return the learning rate of each step: cosine decay to zero over all calls, linear warm-up within this one."""
    total = first_step + steps if total_steps is None else total_steps
    if steps < 1 or first_step < 0 or first_step + steps > total:
        raise DataError(
            "generator fit",
            f"steps {first_step} to {first_step + steps} do not lie in 0 to {total}",
            "Give at least one step and a total that covers all calls.",
        )
    warmup = min(config.warmup_steps, steps // 2)
    ramp = [min((step + 1) / (warmup + 1), 1.0) for step in range(steps)]
    return [peak * rise * (1 + math.cos(math.pi * (first_step + step) / total)) / 2 for step, rise in enumerate(ramp)]


def _optimise(
    network: nn.Module, losses: Iterator[Tensor], rates: list[float], config: GeneratorConfig, on_step: OnStep | None
) -> float:
    """Take one AdamW step per loss and return the mean loss."""
    parameters = list(network.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=rates[0], betas=(0.9, 0.99), weight_decay=1e-4)
    total = 0.0
    for step, (rate, loss) in enumerate(zip(rates, losses, strict=True), start=1):
        value = loss.item()
        if not math.isfinite(value):
            raise DSFedMedError(
                "generator fit",
                f"the loss is {value} at step {step}",
                "Lower the learning rate, or look for images that are not finite.",
            )
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, config.max_gradient_norm)
        optimiser.step()
        total += value
        if on_step is not None:
            on_step(step, value)
    return total / len(rates)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """Switch off the gradients of every parameter, and put the switches back afterwards."""
    before = [parameter.requires_grad for parameter in network.parameters()]
    network.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, flag in zip(network.parameters(), before, strict=True):
            parameter.requires_grad_(flag)


def _check_images(images: Tensor, config: GeneratorConfig) -> None:
    wanted = (config.channels, config.image_size, config.image_size)
    if images.ndim != 4 or tuple(images.shape[1:]) != wanted or len(images) == 0:
        raise DataError(
            "generator fit",
            f"images have shape {tuple(images.shape)}, not (N, {wanted})",
            "Preprocess the images to the generator's size and channels.",
        )
    if not bool(torch.isfinite(images).all()) or float(images.min()) < 0 or float(images.max()) > 1:
        raise DataError("generator fit", "images are not finite values in [0, 1]", "Scale them when they are read.")


def _check_channels(channels: Tensor, config: GeneratorConfig, count: int) -> None:
    wanted = (count, config.num_classes, config.image_size, config.image_size)
    if tuple(channels.shape) != wanted:
        raise DataError(
            "generator fit",
            f"masks have shape {tuple(channels.shape)}, not {wanted}",
            "Give one channel per class at the generator's image size, one mask per image.",
        )
