# SPDX-License-Identifier: Apache-2.0
"""Fitting the branch by DP-SGD (Abadi et al. 2016) with Adam: what it does to a branch that one patient is missing.

The unit is a patient. In each step every patient is drawn with probability q, on their own, and gives one of their
images, at random: so a patient with many images moves a step no further than one with a single image. Each drawn image
gets ``draws`` pairs of noise and timestep, whose mean gradient is the patient's (Dockhorn et al., Differentially
private diffusion models, TMLR 2023); these timesteps are stratified. Those of `dsfedmed.generator.fit` are stratified
over the batch, and then a patient more or less would change the gradients of all others.

Adam and the fall of its rate see noisy gradients alone and cost nothing further. The bound on the whole gradient's norm
is left out: noise is most of it. No loss is returned: it would be a figure of images without any noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from dsfedmed.algorithms.private.gradients import clipped_sum, noisy_mean, poisson_sample
from dsfedmed.algorithms.private.secret_draws import SecretDraws
from dsfedmed.errors import ConfigError
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.denoising import Denoising, denoising, stratified_timesteps
from dsfedmed.generator.fit import FitSteps, MaskedImages, check_channels, check_images, frozen, learning_rates
from dsfedmed.generator.latents import LatentBank
from dsfedmed.generator.networks.base import GeneratorBase, predict
from dsfedmed.generator.networks.branch import branch_state
from dsfedmed.seeds import generator

MOST_PATIENTS, MOST_NUMBERS = 32, 32 * 2**20
"""Patients at a time, and numbers of their gradients in memory unless one patient's alone are more."""


@dataclass(frozen=True)
class PatientImages(MaskedImages):
    """Images and masks with the N patients that they are of."""

    patients: tuple[str, ...]


@dataclass(frozen=True)
class PrivateSteps:
    """How a branch is fitted privately.

    Attributes:
        count: gradient steps.
        rate: probability in (0, 1] with which each patient is drawn in a step.
        bound: C, norm to which each patient's gradient is cut.
        noise_multiplier: z; the noise on the sum has deviation z C.
        draws: pairs of noise and timestep for each drawn image.
    """

    count: int
    rate: float
    bound: float
    noise_multiplier: float
    draws: int = 1


def fit_branch_privately(
    generator_base: GeneratorBase,
    branch: ControlNetModel,
    pairs: PatientImages,
    config: GeneratorConfig,
    steps: PrivateSteps,
    secret: str,
    on_step: Callable[[int], None] = lambda _: None,
) -> int:
    """Train ``branch`` in place; return how many gradients were not finite and counted as zero (for the site's eyes).

    Args:
        generator_base: the frozen part.
        branch: the branch, trained as far as it wants gradients.
        pairs: the site's training images and masks, and whose each is.
        config: hyper-parameters; batches are the plan's and ``max_gradient_norm`` is not looked at.
        steps: the plan.
        secret: of all draws; the same one gives the same branch again, to the last bit on a CPU.
        on_step: called after each step with its number.

    Raises:
        ConfigError: gradient checkpointing or float16, with which one patient's gradient cannot be had.
        DataError: the images do not fit ``config``.
    """
    _check(config)
    check_images(pairs.images, config)
    check_channels(pairs.channels, config, len(pairs.images))
    draws = SecretDraws(secret)
    passes = _Passes(generator_base, pairs, config, steps, draws)
    optimiser = torch.optim.AdamW(_trained(branch).values(), lr=0.0, betas=(0.9, 0.99), weight_decay=1e-4)
    spoilt = 0
    with frozen(generator_base.unet), sdpa_kernel(SDPBackend.MATH):
        for step, rate in enumerate(learning_rates(config.branch_learning_rate, config, FitSteps(steps.count))):
            sums, bad = _sum_of_all(generator_base, branch, passes.of_step(step), steps)
            spoilt += bad
            means = noisy_mean(sums, steps.noise_multiplier * steps.bound, passes.expected, draws, step)
            optimiser.param_groups[0]["lr"] = rate
            for name, parameter in _trained(branch).items():
                parameter.grad = means[name]
            optimiser.step()
            on_step(step + 1)
    optimiser.zero_grad()
    return spoilt


class _Passes:
    """Draws who takes part in a step, and the passes of each."""

    def __init__(
        self,
        generator_base: GeneratorBase,
        pairs: PatientImages,
        config: GeneratorConfig,
        steps: PrivateSteps,
        draws: SecretDraws,
    ) -> None:
        self._base, self._channels, self._config, self._steps, self._draws = (
            generator_base, pairs.channels, config, steps, draws,
        )  # fmt: skip
        self._bank = LatentBank(pairs.images, generator_base.codec, config.flip_axes)
        images: dict[str, list[int]] = {}
        for index, patient in enumerate(pairs.patients):
            images.setdefault(patient, []).append(index)
        self._images = [torch.tensor(found) for found in images.values()]

    @property
    def expected(self) -> float:
        """Patients that a step draws in the mean."""
        return self._steps.rate * len(self._images)

    def of_step(self, step: int) -> Iterator[Denoising]:
        """Yield the passes of each drawn patient, ``draws`` latents each."""
        others = generator(self._draws.seed("passes", step))
        for patient in poisson_sample(len(self._images), self._steps.rate, self._draws, step).tolist():
            own = self._images[patient]
            chosen = own[torch.randint(len(own), (1,), generator=others)]
            masks = self._channels[chosen].to(torch.float32)
            flips = []
            for axis in self._config.flip_axes:
                flip = torch.rand(1, generator=others) < 0.5
                masks = masks.flip(2 + axis) if bool(flip) else masks
                flips.append(flip)
            times = self._steps.draws
            latents, masks = (one.repeat(times, 1, 1, 1) for one in (self._bank.pick(chosen, flips), masks))
            yield denoising(self._base, self._config, latents, masks, others, stratified_timesteps)


def _sum_of_all(
    generator_base: GeneratorBase, branch: ControlNetModel, passes: Iterator[Denoising], steps: PrivateSteps
) -> tuple[dict[str, Tensor], int]:
    """Return the sum of the drawn patients' cut gradients by name, and how many counted as zero."""
    trained = {name: parameter.detach() for name, parameter in _trained(branch).items()}
    total = {name: torch.zeros_like(value) for name, value in trained.items()}
    gradients = vmap(grad(_error(generator_base, branch)), in_dims=(None, 0, 0, 0, 0, 0))
    spoilt = 0
    most = min(MOST_PATIENTS, max(1, MOST_NUMBERS // sum(value.numel() for value in trained.values())))
    for group in _groups(passes, most):
        found, bad = clipped_sum(gradients(trained, *group), steps.bound)
        total = {name: total[name] + found[name] for name in total}
        spoilt += bad
    return {name: value.detach() for name, value in total.items()}, spoilt


def _error(generator_base: GeneratorBase, branch: ControlNetModel) -> Callable[..., Tensor]:
    def error(
        trained: dict[str, Tensor], noisy: Tensor, timesteps: Tensor, target: Tensor, weights: Tensor, masks: Tensor
    ) -> Tensor:
        def call(*given: Tensor, **named: object) -> object:
            return functional_call(branch, trained, given, named)

        one = Denoising(noisy, timesteps, target, weights, masks)
        return one.errors(predict(generator_base, call, noisy, timesteps, masks)).mean()

    return error


def _groups(passes: Iterator[Denoising], most: int) -> Iterator[tuple[Tensor, ...]]:
    """Yield the passes of up to ``most`` patients at a time, stacked, in the order in which `_error` takes them."""
    group: list[tuple[Tensor, ...]] = []
    for one in passes:
        assert one.channels is not None
        group.append((one.noisy, one.timesteps, one.target, one.weights, one.channels))
        if len(group) == most:
            yield tuple(torch.stack(part) for part in zip(*group, strict=True))
            group = []
    if group:
        yield tuple(torch.stack(part) for part in zip(*group, strict=True))


def _trained(branch: ControlNetModel) -> dict[str, torch.nn.Parameter]:
    names = branch_state(branch).keys()
    return {name: parameter for name, parameter in branch.named_parameters() if name in names}


def _check(config: GeneratorConfig) -> None:
    if config.gradient_checkpointing or config.dtype == "float16":
        name = "gradient_checkpointing" if config.gradient_checkpointing else "dtype: float16"
        raise ConfigError(
            f"generator_model.{name}",
            "does not go with a private branch, which needs each patient's own gradient",
            "Set gradient_checkpointing: false and dtype: float32 or bfloat16",
        )
