# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses

import pytest
import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import Tensor

from dsfedmed.errors import ConfigError, DataError
from dsfedmed.generator import (
    FitSteps,
    GeneratorBase,
    GeneratorConfig,
    MaskedImages,
    build_base,
    build_branch,
    embedded_base,
    fit_base,
    fit_branch,
    mask_contrast,
)
from dsfedmed.generator.config_checks import CHOICES
from dsfedmed.generator.sample import sample
from dsfedmed.generator.samplers import sampling_scheduler

SAMPLERS = CHOICES["sampler"]
Networks = tuple[GeneratorBase, ControlNetModel]


def networks(config: GeneratorConfig) -> Networks:
    """Return networks whose branch has an effect (its output convolutions are filled)."""
    generator_base = embedded_base(build_base(config), config)
    branch = build_branch(generator_base, config)
    draws = torch.Generator().manual_seed(0)
    for name, parameter in branch.named_parameters():
        if name.startswith(("controlnet_down", "controlnet_mid", "controlnet_cond_embedding.conv_out")):
            parameter.data.copy_(0.2 * torch.randn(parameter.shape, generator=draws))
    return generator_base, branch


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_seed_decides_and_cutting_does_not(tiny: GeneratorConfig, squares: tuple[Tensor, Tensor], sampler: str) -> None:
    config = dataclasses.replace(tiny, sampler=sampler, guidance=1.5)
    pair, channels = networks(config), squares[1][:7]
    done: list[int] = []
    whole = sample(*pair, channels, dataclasses.replace(config, sample_batch=7), 3)
    cut = sample(*pair, channels, dataclasses.replace(config, sample_batch=2), 3, on_batch=done.append)
    later = sample(*pair, channels[4:], config, 3, first_index=4)
    assert done == [2, 4, 6, 7]
    assert whole.shape == (7, 1, 16, 16)
    assert whole.dtype == torch.uint8
    assert torch.equal(whole, sample(*pair, channels, dataclasses.replace(config, sample_batch=7), 3))
    # One grey level: convolutions may round differently in another batch shape.
    assert int((whole.int() - cut.int()).abs().max()) <= 1
    assert int((whole[4:].int() - later.int()).abs().max()) <= 1
    other = sample(*pair, channels, dataclasses.replace(config, sample_batch=7), 4)
    assert float((whole.float() - other.float()).abs().mean()) > 5
    assert not torch.equal(whole[0], whole[1])


def test_guidance_of_one_is_the_plain_prediction_and_more_changes_it(
    tiny: GeneratorConfig, squares: tuple[Tensor, Tensor]
) -> None:
    pair, channels = networks(tiny), squares[1][:2]
    plain = sample(*pair, channels, tiny, 0)
    nearly = sample(*pair, channels, dataclasses.replace(tiny, guidance=1.0 + 1e-9), 0)
    more = sample(*pair, channels, dataclasses.replace(tiny, guidance=3.0), 0)
    assert int((plain.int() - nearly.int()).abs().max()) <= 1
    assert not torch.equal(plain, more)


def test_fitted_branch_draws_the_square_where_the_mask_is(
    tiny: GeneratorConfig, squares: tuple[Tensor, Tensor]
) -> None:
    images, channels = squares
    base = build_base(tiny)
    fit_base(base, images, tiny, FitSteps(40), 0)
    generator_base = embedded_base(base, tiny)
    branch = build_branch(generator_base, tiny)
    fit_branch(generator_base, branch, MaskedImages(images, channels), tiny, 80, 1)
    drawn = sample(generator_base, branch, channels, dataclasses.replace(tiny, sampler_steps=10), 2)
    follows = mask_contrast(drawn, channels[:, :1]).mean()
    assert float(follows) > 0.1  # the training images have 0.4


def test_nothing_asked_nothing_drawn_and_other_masks_refused(tiny: GeneratorConfig) -> None:
    pair = networks(tiny)
    assert sample(*pair, torch.zeros(0, 2, 16, 16), tiny, 0).shape == (0, 1, 16, 16)
    with pytest.raises(DataError, match="masks have shape"):
        sample(*pair, torch.zeros(1, 1, 16, 16), tiny, 0)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers_share_the_schedule_and_start_at_pure_noise(tiny: GeneratorConfig, sampler: str) -> None:
    schedule = embedded_base(build_base(tiny), tiny).schedule
    chosen = sampling_scheduler(schedule, dataclasses.replace(tiny, sampler=sampler))
    assert len(chosen.timesteps) == 4
    assert int(chosen.timesteps[0]) == 999


def test_more_steps_than_the_schedule_has_are_refused(tiny: GeneratorConfig) -> None:
    schedule = embedded_base(build_base(tiny), dataclasses.replace(tiny, train_timesteps=10)).schedule
    with pytest.raises(ConfigError, match="11 is more than 10"):
        sampling_scheduler(schedule, dataclasses.replace(tiny, sampler_steps=11))
