# SPDX-License-Identifier: Apache-2.0
"""Fitting a branch privately: each patient's gradient, whose noise it is, and what repeats."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import Tensor

from dsfedmed.algorithms.private.secret_draws import SecretDraws
from dsfedmed.errors import ConfigError
from dsfedmed.exchange.noise import global_norm
from dsfedmed.generator import (
    GeneratorBase,
    GeneratorConfig,
    branch_state,
    build_base,
    build_branch,
    embedded_base,
    predict,
    stable_diffusion_base,
)
from dsfedmed.generator.private.fit import PatientImages, PrivateSteps, _Passes, _sum_of_all, fit_branch_privately

Pairs = tuple[Tensor, Tensor]
ALL = PrivateSteps(count=2, rate=1.0, bound=1.0, noise_multiplier=1.0)
EACH_THEIR_OWN = tuple("abcdefghijkl")


def of_patients(pairs: Pairs, patients: tuple[str, ...]) -> PatientImages:
    return PatientImages(pairs[0][: len(patients)], pairs[1][: len(patients)], patients)


def generator_of(config: GeneratorConfig) -> tuple[GeneratorBase, ControlNetModel]:
    base = embedded_base(build_base(config), config)
    return base, build_branch(base, config)


def fitted(config: GeneratorConfig, pairs: PatientImages, steps: PrivateSteps, secret: str) -> dict[str, Tensor]:
    base, branch = generator_of(config)
    fit_branch_privately(base, branch, pairs, config, steps, secret)
    return branch_state(branch)


@pytest.mark.parametrize("draws", [1, 3])
def test_each_patient_s_gradient_is_what_autograd_gives_alone(
    tiny: GeneratorConfig, squares: Pairs, draws: int
) -> None:
    base, branch = generator_of(tiny)
    steps = replace(ALL, bound=1e9, draws=draws)
    passes = _Passes(base, of_patients(squares, tuple("abc")), tiny, steps, SecretDraws("s"))
    sums, bad = _sum_of_all(base, branch, passes.of_step(0), steps)
    for one in passes.of_step(0):
        assert len(one.noisy) == draws
        one.errors(predict(base, branch, one.noisy, one.timesteps, one.channels)).mean().backward()
    assert bad == 0
    for name, parameter in branch.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(sums[name], parameter.grad, rtol=1e-3, atol=1e-5), name


def test_a_patient_with_many_images_moves_a_step_no_further(tiny: GeneratorConfig, squares: Pairs) -> None:
    base, branch = generator_of(tiny)
    passes = _Passes(base, of_patients(squares, (*"aaaaaaa", "b")), tiny, ALL, SecretDraws("s"))
    assert passes.expected == 2
    drawn = [len(list(passes.of_step(step))) for step in range(3)]
    assert drawn == [2, 2, 2], "one image of each patient"
    seen = {float(next(passes.of_step(step)).target.std()) for step in range(20)}
    assert len(seen) > 3, "another image in another step"
    sums, _ = _sum_of_all(base, branch, passes.of_step(0), replace(ALL, bound=1e-3))
    assert global_norm(sums) <= 2e-3


def test_the_same_secret_gives_the_same_branch_and_another_one_another(tiny: GeneratorConfig, squares: Pairs) -> None:
    pairs = of_patients(squares, EACH_THEIR_OWN)
    first, again, other = (fitted(tiny, pairs, replace(ALL, rate=0.5), secret) for secret in ("s", "s", "t"))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_without_noise_the_branch_learns_and_with_much_it_does_not(tiny: GeneratorConfig, squares: Pairs) -> None:
    def error(noise: float) -> float:
        base, branch = generator_of(tiny)
        pairs = of_patients(squares, EACH_THEIR_OWN)
        steps = PrivateSteps(16, 1.0, 1.0, noise)
        assert fit_branch_privately(base, branch, pairs, tiny, steps, "s") == 0
        assert all(parameter.requires_grad for parameter in base.unet.parameters())
        latents = base.codec.encode(squares[0])
        timesteps = torch.full((len(latents),), 900)
        draws = torch.randn(latents.shape, generator=torch.Generator().manual_seed(9))
        noisy = base.schedule.add_noise(latents, draws, timesteps)
        with torch.inference_mode():
            return float((predict(base, branch, noisy, timesteps, squares[1]) - latents).square().mean())

    assert error(0.0) < 0.95 * error(1e4)


def test_a_step_that_draws_nobody_is_noise_alone(tiny: GeneratorConfig, squares: Pairs) -> None:
    start = branch_state(generator_of(tiny)[1])
    found = fitted(tiny, of_patients(squares, ("a",)), PrivateSteps(1, 1e-12, 1.0, 1.0), "s")
    assert any(not torch.equal(found[name], start[name]) for name in start)


def test_low_rank_branches_of_stable_diffusion_are_fitted_too(
    sd_folder: Any, sd_config: GeneratorConfig, scans: Pairs
) -> None:
    base = stable_diffusion_base(sd_folder, sd_config)
    branch = build_branch(base, sd_config)
    before = {name: value.clone() for name, value in branch.state_dict().items()}
    fit_branch_privately(base, branch, of_patients(scans, tuple("abcd")), sd_config, ALL, "s")
    changed = {name for name, value in branch.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert changed <= branch_state(branch).keys()


@pytest.mark.parametrize("wrong", [{"gradient_checkpointing": True}, {"dtype": "float16"}])
def test_what_has_no_gradient_of_one_patient_is_refused(
    tiny: GeneratorConfig, squares: Pairs, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="does not go with a private branch"):
        fitted(replace(tiny, **wrong), of_patients(squares, ("a",)), ALL, "s")
