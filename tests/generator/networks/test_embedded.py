# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses

import pytest
import torch

from dsfedmed.generator import (
    GeneratorConfig,
    build_base,
    build_branch,
    embedded_base,
    from_latent,
    predict,
    to_latent,
)
from dsfedmed.generator.networks.embedded import loss_weights, training_scheduler


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("channels", [1, 3])
def test_codec_round_trip(channels: int) -> None:
    config = GeneratorConfig(channels=channels)
    images = torch.rand(2, channels, 64, 64, generator=torch.Generator().manual_seed(0))
    latents = to_latent(images, config)
    assert latents.shape == (2, config.latent_channels, 16, 16)
    torch.testing.assert_close(from_latent(latents, config), images)


def test_weights_derive_from_the_seed_and_leave_the_global_generator_alone(tiny: GeneratorConfig) -> None:
    before = torch.get_rng_state()
    weights = [build_base(tiny, seed).state_dict()["conv_in.weight"] for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_embedded_default_has_the_designed_size() -> None:
    config = GeneratorConfig()
    base = build_base(config)
    assert 2e6 < parameters(base) < 4e6
    assert 1e6 < parameters(build_branch(embedded_base(base, config), config)) < 2e6


@pytest.mark.parametrize("attention_levels", [0, 1, 2])
@pytest.mark.parametrize("unshuffle", [1, 2, 4])
def test_other_shapes_work(tiny: GeneratorConfig, attention_levels: int, unshuffle: int) -> None:
    config = dataclasses.replace(tiny, channels=3, attention_levels=attention_levels, unshuffle=unshuffle)
    generator_base = embedded_base(build_base(config), config)
    latents = to_latent(torch.rand(2, 3, 16, 16), config)
    with torch.inference_mode():
        result = predict(
            generator_base,
            build_branch(generator_base, config),
            latents,
            torch.tensor([1, 2]),
            torch.zeros(2, 2, 16, 16),
        )
    assert result.shape == latents.shape


def test_schedule_ends_in_pure_noise_only_when_asked(tiny: GeneratorConfig) -> None:
    assert float(training_scheduler(tiny).alphas_cumprod[-1]) == 0
    kept = dataclasses.replace(tiny, zero_terminal_snr=False)
    assert float(training_scheduler(kept).alphas_cumprod[-1]) > 0


def test_loss_weights_by_hand(tiny: GeneratorConfig) -> None:
    alphas = torch.tensor([0.9, 0.5, 0.0])  # signal-to-noise ratios 9, 1, 0
    config = dataclasses.replace(tiny, snr_clamp=6.0)
    torch.testing.assert_close(loss_weights(alphas, config), torch.tensor([6.0, 2.0, 1.0]))
    velocity = dataclasses.replace(config, prediction_type="v_prediction")
    torch.testing.assert_close(loss_weights(alphas, velocity), torch.tensor([0.6, 1.0, 1.0]))
    noise = dataclasses.replace(config, prediction_type="epsilon", zero_terminal_snr=False)
    torch.testing.assert_close(loss_weights(alphas[:2], noise), torch.tensor([6 / 9, 2.0]))
