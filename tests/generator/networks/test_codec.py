# SPDX-License-Identifier: Apache-2.0
"""Images to latents and back: the lossless codec, and Stable Diffusion's autoencoder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from dsfedmed.generator import GeneratorConfig, PixelUnshuffle, stable_diffusion_base


def test_codec_by_hand() -> None:
    latents = PixelUnshuffle(2, mean=0.5, deviation=0.25).encode(torch.tensor([[[[0.0, 0.25], [0.5, 1.0]]]]))
    torch.testing.assert_close(latents.flatten(), torch.tensor([-2.0, -1.0, 0.0, 2.0]))
    assert latents.shape == (1, 4, 1, 1)
    assert PixelUnshuffle(2, 0.25, 0.25).limit == 3.0


@pytest.mark.parametrize(("factor", "channels"), [(1, 1), (2, 3), (4, 1)])
def test_unshuffling_loses_nothing(factor: int, channels: int) -> None:
    images = torch.rand(2, channels, 16, 16, generator=torch.Generator().manual_seed(0))
    codec = PixelUnshuffle(factor, 0.3, 0.2)
    latents = codec.encode(images)
    assert latents.shape == (2, channels * factor**2, 16 // factor, 16 // factor)
    assert float(latents.abs().max()) <= codec.limit + 1e-6
    torch.testing.assert_close(codec.decode(latents), images)


def test_decoded_values_stay_in_range() -> None:
    decoded = PixelUnshuffle(1).decode(torch.tensor([[[[-3.0, 0.0, 3.0]]]]))
    assert decoded.flatten().tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("channels", [1, 3])
def test_autoencoder_has_the_shapes_and_its_latents_do_not_depend_on_the_batch(
    sd_folder: Path, sd_config: GeneratorConfig, channels: int
) -> None:
    codec = stable_diffusion_base(sd_folder, dataclasses.replace(sd_config, channels=channels)).codec
    images = torch.rand(3, channels, 32, 32, generator=torch.Generator().manual_seed(0))
    latents = codec.encode(images)
    assert latents.shape == (3, 4, 8, 8)
    assert torch.equal(latents[1:2], codec.encode(images[1:2]))
    decoded = codec.decode(latents)
    assert decoded.shape == images.shape
    assert float(decoded.min()) >= 0
    assert float(decoded.max()) <= 1
    assert torch.equal(decoded[1:2], codec.decode(latents[1:2]))


def test_autoencoder_by_hand(sd_folder: Path, sd_config: GeneratorConfig) -> None:
    """Grey goes in three times as 2 v - 1, the posterior's mode is scaled, and the mean of three channels comes out."""
    codec = stable_diffusion_base(sd_folder, sd_config).codec
    image = torch.full((1, 1, 32, 32), 0.25)
    with torch.no_grad():
        posterior = codec.network.encode(torch.full((1, 3, 32, 32), -0.5)).latent_dist
        colour = codec.network.decode(posterior.mean).sample
    assert codec.network.config.scaling_factor == 0.18215
    torch.testing.assert_close(codec.encode(image), posterior.mean * 0.18215)
    expected = (colour / 2 + 0.5).clamp(0, 1).mean(dim=1, keepdim=True)
    torch.testing.assert_close(codec.decode(codec.encode(image)), expected)
