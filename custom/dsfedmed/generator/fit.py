# SPDX-License-Identifier: Apache-2.0
"""Fitting the base (unconditional) and the branch (mask to image, base frozen): plain torch loops.

Loss: squared error of the prediction, weighted per timestep by the generator base's ``loss_weights``. Timesteps are
stratified over the batch, one per equal share of [0, T), which has the same expectation and less variance than
independent draws. Latents are computed once (`dsfedmed.generator.latents`); arithmetic is the generator
base's (autocast, with a gradient scaler for float16), what is trained stays in float32.

The base is fitted by many short calls from given (averaged) weights. AdamW starts anew in each call: moments
of one site's run would not fit the averaged weights, and they would double what a site keeps. A short linear warm-up
bounds the first, sign-like steps of a fresh AdamW.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from dsfedmed.errors import DataError, DSFedMedError
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.denoising import denoising, stratified_timesteps
from dsfedmed.generator.latents import Bank, LatentBank
from dsfedmed.generator.networks.base import GeneratorBase, predict
from dsfedmed.generator.networks.embedded import codec_of, embedded_base
from dsfedmed.seeds import derive_seed, generator

OnStep = Callable[[int, float], None]
"""Called after each step with its number in this call (from 1) and its loss."""


@dataclass(frozen=True)
class FitSteps:
    """The gradient steps of one call among those of all calls, which the learning rate's cosine decay spans.

    Attributes:
        count: steps of this call, of ``config.accumulation`` passes each.
        first: steps taken in earlier calls (rounds).
        total: steps of all calls; None means that this call is the last.

    Raises:
        DataError: no steps, or a total that does not cover them.
    """

    count: int
    first: int = 0
    total: int | None = None

    def __post_init__(self) -> None:
        """Refuse steps outside the total."""
        if self.count < 1 or self.first < 0 or self.first + self.count > self.of_all_calls:
            raise DataError(
                "generator fit",
                f"steps {self.first} to {self.first + self.count} are not within 0 to {self.of_all_calls}",
                "Give at least one step and a total that covers all calls.",
            )

    @property
    def of_all_calls(self) -> int:
        """``total``, filled in where this call is the last."""
        return self.first + self.count if self.total is None else self.total


@dataclass(frozen=True)
class MaskedImages:
    """Images (N, C, S, S) in [0, 1] and their masks (N, K, S, S) in {0, 1}, on the CPU."""

    images: Tensor
    channels: Tensor


def fit_base(
    base: UNet2DConditionModel,
    images: Tensor,
    config: GeneratorConfig,
    steps: FitSteps,
    seed: int,
    on_step: OnStep | None = None,
) -> float:
    """Train the embedded ``base`` in place on images (N, C, S, S) in [0, 1], without masks; return the mean loss.

    Args:
        base: the network, on any device; it starts from the weights it has.
        images: the site's training images.
        config: hyper-parameters.
        steps: of this call, and where it is on the decay of the learning rate.
        seed: everything random derives from it; give another seed to each round.
        on_step: called after each step.

    Raises:
        DataError: the images do not fit ``config``.
        DSFedMedError: the loss is not finite, with the step named.
    """
    check_images(images, config)
    bank = LatentBank(images, codec_of(config), config.flip_axes)
    rates = learning_rates(config.base_learning_rate, config, steps)
    return fit_base_from(base, bank, config, rates, seed, on_step)


def fit_base_from(
    base: UNet2DConditionModel,
    bank: Bank,
    config: GeneratorConfig,
    rates: Iterable[float],
    seed: int,
    on_step: OnStep | None = None,
) -> float:
    """Train the embedded ``base`` in place on latents of ``bank``, one step per learning rate; return the mean loss.

    ``rates`` is asked for the next one before each step, so that a clock can end it. It gives at least one. The rest is
    as in ``fit_base``.
    """
    generator_base = embedded_base(base, config)
    batches = _batches(bank, None, config, derive_seed(seed, "fit base"))
    losses = (_loss(generator_base, None, config, *batch) for batch in batches)
    return _optimise(base, losses, rates, config, generator_base.dtype, on_step)


def fit_branch(
    generator_base: GeneratorBase,
    branch: ControlNetModel,
    pairs: MaskedImages,
    config: GeneratorConfig,
    steps: int,
    seed: int,
    on_step: OnStep | None = None,
) -> float:
    """Train ``branch`` in place on images and their masks; return the mean loss.

    The generator base is frozen: it gets no gradients and keeps every bit. Masks are blanked with probability
    ``config.mask_dropout``, so that the sampler can guide against the blank mask. GeneratorBase and branch are on one
    device; images and masks stay on the CPU and go there batch by batch. Errors are those of ``fit_base``.

    Args:
        generator_base: the frozen part.
        branch: the branch, trained as far as it wants gradients.
        pairs: the site's training images and masks.
        config: hyper-parameters.
        steps: gradient steps, of ``config.accumulation`` passes each.
        seed: everything random derives from it.
        on_step: called after each step.
    """
    check_images(pairs.images, config)
    check_channels(pairs.channels, config, len(pairs.images))
    rates = learning_rates(config.branch_learning_rate, config, FitSteps(steps))
    bank = LatentBank(pairs.images, generator_base.codec, config.flip_axes)
    batches = _batches(bank, pairs.channels, config, derive_seed(seed, "fit branch"))
    losses = (_loss(generator_base, branch, config, *batch) for batch in batches)
    with frozen(generator_base.unet):
        return _optimise(branch, losses, rates, config, generator_base.dtype, on_step)


def _loss(
    generator_base: GeneratorBase,
    branch: ControlNetModel | None,
    config: GeneratorConfig,
    latents: Tensor,
    channels: Tensor | None,
    draws: torch.Generator,
) -> Tensor:
    """Return the weighted denoising loss of latents (B, c, s, s), with masks (B, K, S, S) where there is a branch."""
    asked = denoising(generator_base, config, latents, channels, draws, stratified_timesteps)
    prediction = predict(generator_base, branch, asked.noisy, asked.timesteps, asked.channels)
    return asked.errors(prediction).mean()


def _batches(
    bank: Bank, channels: Tensor | None, config: GeneratorConfig, seed: int
) -> Iterator[tuple[Tensor, Tensor | None, torch.Generator]]:
    """Yield batches of latents and masks for ever, flipped jointly; each image is seen once before any is again."""
    draws = generator(seed)
    order = torch.empty(0, dtype=torch.int64)
    while True:
        while len(order) < config.batch_size:
            order = torch.cat([order, torch.randperm(len(bank), generator=draws)])
        chosen, order = order[: config.batch_size], order[config.batch_size :]
        masks = None if channels is None else channels[chosen].to(torch.float32)
        flips = []
        for axis in config.flip_axes:
            flip = torch.rand(len(chosen), generator=draws) < 0.5
            masks = None if masks is None else torch.where(flip.view(-1, 1, 1, 1), masks.flip(2 + axis), masks)
            flips.append(flip)
        yield bank.pick(chosen, flips), masks, draws


def learning_rates(peak: float, config: GeneratorConfig, steps: FitSteps) -> list[float]:
    """Return the learning rate of each step: cosine decay to zero over all calls, linear warm-up within this one."""
    total = steps.of_all_calls
    warmup = min(config.warmup_steps, steps.count // 2)
    ramp = [min((step + 1) / (warmup + 1), 1.0) for step in range(steps.count)]
    return [peak * rise * (1 + math.cos(math.pi * (steps.first + step) / total)) / 2 for step, rise in enumerate(ramp)]


def _optimise(
    network: nn.Module,
    losses: Iterator[Tensor],
    rates: Iterable[float],
    config: GeneratorConfig,
    dtype: torch.dtype,
    on_step: OnStep | None,
) -> float:
    """Take one AdamW step per rate on what wants gradients, and return the mean loss."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=0.0, betas=(0.9, 0.99), weight_decay=1e-4)
    scaler = torch.amp.GradScaler(parameters[0].device.type, enabled=dtype is torch.float16)
    total, step = 0.0, 0
    for step, rate in enumerate(rates, start=1):
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        value = 0.0
        for loss in islice(losses, config.accumulation):
            value += _backward(loss / config.accumulation, scaler, step)
        scaler.unscale_(optimiser)
        nn.utils.clip_grad_norm_(parameters, config.max_gradient_norm)
        scaler.step(optimiser)
        scaler.update()
        total += value
        if on_step is not None:
            on_step(step, value)
    return total / step


def _backward(loss: Tensor, scaler: torch.amp.GradScaler, step: int) -> float:
    value = loss.item()
    if not math.isfinite(value):
        raise DSFedMedError(
            "generator fit",
            f"the loss is {value} at step {step}",
            "Lower the learning rate, or look for images that are not finite.",
        )
    scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    return value


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Switch off the gradients of every parameter, and put the switches back afterwards."""
    before = [parameter.requires_grad for parameter in network.parameters()]
    network.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, flag in zip(network.parameters(), before, strict=True):
            parameter.requires_grad_(flag)


def check_images(images: Tensor, config: GeneratorConfig) -> None:
    """Raise DataError unless images are (N, C, S, S) of the generator's size and channels, finite and in [0, 1]."""
    wanted = (config.channels, config.image_size, config.image_size)
    if images.ndim != 4 or tuple(images.shape[1:]) != wanted or len(images) == 0:
        raise DataError(
            "generator fit",
            f"images have shape {tuple(images.shape)}, not (N, {wanted})",
            "Preprocess the images to the generator's size and channels.",
        )
    if not bool(torch.isfinite(images).all()) or float(images.min()) < 0 or float(images.max()) > 1:
        raise DataError("generator fit", "images are not finite values in [0, 1]", "Scale them when they are read.")


def check_channels(channels: Tensor, config: GeneratorConfig, count: int) -> None:
    """Raise DataError unless masks are (count, K, S, S) of the generator's size and classes."""
    wanted = (count, config.num_classes, config.image_size, config.image_size)
    if tuple(channels.shape) != wanted:
        raise DataError(
            "generator fit",
            f"masks have shape {tuple(channels.shape)}, not {wanted}",
            "Give one channel per class at the generator's image size, one mask per image.",
        )
