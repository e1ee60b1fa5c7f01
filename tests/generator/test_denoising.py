# SPDX-License-Identifier: Apache-2.0
"""One pass of denoising: what is blanked, what is to be predicted, how much an error counts, and when."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dsfedmed.generator import GeneratorConfig, build_base, embedded_base
from dsfedmed.generator.denoising import Denoising, denoising, stratified_timesteps
from dsfedmed.seeds import generator


def asked(config: GeneratorConfig, channels: Tensor | None, count: int = 8, seed: int = 0) -> tuple[Denoising, Tensor]:
    base = embedded_base(build_base(config, 0), config)
    latents = torch.randn(count, *base.latent_shape(config.image_size), generator=generator(5))
    return denoising(base, config, latents, channels, generator(seed), stratified_timesteps), latents


def test_masks_are_blanked_whole_with_their_probability(tiny: GeneratorConfig) -> None:
    """Without blank masks guidance has nothing to be guided from."""
    masks = torch.ones(400, 2, 16, 16)
    found, _ = asked(replace(tiny, mask_dropout=0.25), masks, 400)
    assert found.channels is not None
    sums = found.channels.flatten(1).mean(dim=1)
    assert set(sums.tolist()) == {0.0, 1.0}
    assert float((sums == 0).float().mean()) == pytest.approx(0.25, abs=0.06)
    kept, _ = asked(replace(tiny, mask_dropout=0.0), masks, 400)
    assert kept.channels is not None
    assert bool((kept.channels == 1).all())


def test_an_error_counts_by_its_timesteps_weight(tiny: GeneratorConfig) -> None:
    found, _ = asked(tiny, None)
    base = embedded_base(build_base(tiny, 0), tiny)
    torch.testing.assert_close(found.weights, base.loss_weights[found.timesteps])
    assert len(set(found.weights.tolist())) > 1
    torch.testing.assert_close(found.errors(found.target + 2.0), 4 * found.weights)


@pytest.mark.parametrize("kind", ["sample", "epsilon", "v_prediction"])
def test_what_is_predicted_by_hand(tiny: GeneratorConfig, kind: str) -> None:
    """x_t = a x + s e; the target is x, e, or a e - s x."""
    config = replace(tiny, prediction_type=kind, zero_terminal_snr=False)
    found, latents = asked(config, None)
    alpha = embedded_base(build_base(config, 0), config).schedule.alphas_cumprod[found.timesteps].view(-1, 1, 1, 1)
    a, s = alpha.sqrt(), (1 - alpha).sqrt()
    noise = (found.noisy - a * latents) / s
    expected = {"sample": latents, "epsilon": noise, "v_prediction": a * noise - s * latents}[kind]
    torch.testing.assert_close(found.target, expected, rtol=1e-3, atol=1e-3)


def test_every_share_of_the_timesteps_is_drawn_once() -> None:
    drawn = stratified_timesteps(10, 1000, generator(0))
    assert sorted(int(step) // 100 for step in drawn) == list(range(10))
    assert drawn.tolist() != sorted(drawn.tolist()), "shuffled"
