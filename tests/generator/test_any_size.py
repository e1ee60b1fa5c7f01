# SPDX-License-Identifier: Apache-2.0
"""Sides that the embedded generator's levels do not divide, and images of four channels."""

from __future__ import annotations

import dataclasses

import torch

from dsfedmed.generator import (
    GeneratorConfig,
    MaskedImages,
    PixelUnshuffle,
    build_base,
    build_branch,
    embedded_base,
    fit_branch,
)
from dsfedmed.generator.looks import AS_IS, INVERTED, in_looks, look_count
from dsfedmed.generator.networks.embedded import from_latent, to_latent
from dsfedmed.generator.sample import sample


def test_latents_are_of_the_extended_image_and_come_back_at_its_own_size(tiny: GeneratorConfig) -> None:
    config = dataclasses.replace(tiny, image_size=18, channels=4)
    assert (config.extended_size, config.latent_size, config.latent_channels) == (20, 10, 16)
    images = torch.rand(2, 4, 18, 18)
    latents = to_latent(images, config)
    assert latents.shape == (2, 16, 10, 10)
    torch.testing.assert_close(from_latent(latents, config), images)


def test_sides_that_divide_have_the_same_latents_as_without(tiny: GeneratorConfig) -> None:
    images = torch.rand(2, 1, 16, 16)
    plain = PixelUnshuffle(tiny.unshuffle, tiny.image_mean, tiny.image_deviation)
    assert torch.equal(to_latent(images, tiny), plain.encode(images))
    assert torch.equal(from_latent(plain.encode(images), tiny), plain.decode(plain.encode(images)))


def test_four_channels_at_eighteen_pixels_are_fitted_and_drawn(tiny: GeneratorConfig) -> None:
    config = dataclasses.replace(tiny, image_size=18, channels=4, sampler_steps=1, batch_size=2)
    generator_base = embedded_base(build_base(config), config)
    branch = build_branch(generator_base, config)
    masks = torch.zeros(3, 2, 18, 18)
    masks[:, :, 4:9, 5:12] = 1
    loss = fit_branch(generator_base, branch, MaskedImages(torch.rand(3, 4, 18, 18), masks), config, 1, 0)
    assert torch.isfinite(torch.tensor(loss))
    drawn = sample(generator_base, branch, masks, config, 0)
    assert (drawn.shape, drawn.dtype) == ((3, 4, 18, 18), torch.uint8)


def test_only_rgb_has_a_grey_look() -> None:
    assert [look_count(channels) for channels in (1, 2, 3, 4)] == [2, 2, 3, 2]
    images = torch.rand(2, 4, 3, 3)
    found = in_looks(images, torch.tensor([AS_IS, INVERTED]))
    assert torch.equal(found[0], images[0])
    assert torch.equal(found[1], 1 - images[1])
