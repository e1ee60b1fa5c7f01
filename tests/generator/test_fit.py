# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from itertools import islice

import pytest
import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import Tensor

from dsfedmed.errors import DataError, DSFedMedError
from dsfedmed.generator import (
    FitSteps,
    GeneratorBase,
    GeneratorConfig,
    MaskedImages,
    PixelUnshuffle,
    build_base,
    build_branch,
    embedded_base,
    fit_base,
    fit_branch,
    predict,
)
from dsfedmed.generator.fit import _batches, learning_rates
from dsfedmed.generator.latents import LatentBank

Pairs = tuple[Tensor, Tensor]


def test_base_loss_falls_over_repeated_short_calls(tiny: GeneratorConfig, squares: Pairs) -> None:
    base = build_base(tiny)
    losses = [fit_base(base, squares[0], tiny, FitSteps(15, 15 * seed, 60), seed) for seed in range(4)]
    assert losses[3] < 0.9 * losses[0]
    assert all(parameter.requires_grad for parameter in base.parameters())


@torch.inference_mode()
def error_under_noise(generator_base: GeneratorBase, branch: ControlNetModel | None, pairs: Pairs) -> float:
    """Return the mean squared error of the prediction at step 900 of 1000, where only the mask tells the place."""
    latents, timesteps = generator_base.codec.encode(pairs[0]), torch.full((len(pairs[0]),), 900)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(9))
    noisy = generator_base.schedule.add_noise(latents, noise, timesteps)
    return float((predict(generator_base, branch, noisy, timesteps, pairs[1]) - latents).square().mean())


def test_branch_learns_and_the_base_keeps_every_bit(tiny: GeneratorConfig, squares: Pairs) -> None:
    base = build_base(tiny)
    fit_base(base, squares[0], tiny, FitSteps(40), 0)
    before = {name: value.clone() for name, value in base.state_dict().items()}
    for parameter in base.parameters():
        parameter.grad = None
    generator_base = embedded_base(base, tiny)
    branch = build_branch(generator_base, tiny)
    fit_branch(generator_base, branch, MaskedImages(*squares), tiny, 60, 1)
    assert error_under_noise(generator_base, branch, squares) < 0.8 * error_under_noise(generator_base, None, squares)
    assert all(torch.equal(before[name], value) for name, value in base.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in base.parameters())


def test_fit_is_deterministic_in_the_seed(tiny: GeneratorConfig, squares: Pairs) -> None:
    means = [fit_base(build_base(tiny), squares[0], tiny, FitSteps(3), seed) for seed in (5, 5, 6)]
    assert means[0] == means[1] != means[2]


def test_callback_counts_from_one_and_the_mean_is_theirs(tiny: GeneratorConfig, squares: Pairs) -> None:
    seen: list[tuple[int, float]] = []
    mean = fit_base(
        build_base(tiny), squares[0], tiny, FitSteps(3), 0, on_step=lambda step, loss: seen.append((step, loss))
    )
    assert [step for step, _ in seen] == [1, 2, 3]
    assert mean == pytest.approx(sum(loss for _, loss in seen) / 3)


def test_loss_that_is_not_finite_stops_with_the_step(tiny: GeneratorConfig, squares: Pairs) -> None:
    base = build_base(tiny)

    def spoil(step: int, loss: float) -> None:
        if step == 2:
            base.conv_out.bias.data.fill_(float("nan"))

    with pytest.raises(DSFedMedError, match="nan at step 3"):
        fit_base(base, squares[0], tiny, FitSteps(5), 0, on_step=spoil)


def test_images_and_masks_flip_together(tiny: GeneratorConfig) -> None:
    config = dataclasses.replace(tiny, num_classes=1, flip_axes=(0, 1))
    plain = PixelUnshuffle(1, 0.0, 1.0)
    images = torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    orientations = set()
    batches = _batches(LatentBank(images, plain, (0, 1)), (images > 0.5).float(), config, 3)
    for batch, masks, _ in islice(batches, 6):
        assert masks is not None
        assert torch.equal((batch > 0.5).float(), masks)
        orientations.add(tuple(batch[:, 0, 0, 0].tolist()))
    assert len(orientations) == 6


def test_each_image_is_seen_once_before_any_again(tiny: GeneratorConfig) -> None:
    config = dataclasses.replace(tiny, flip_axes=(), batch_size=4)
    images = torch.arange(10.0).reshape(10, 1, 1, 1).expand(10, 1, 16, 16) / 10
    bank = LatentBank(images, PixelUnshuffle(1, 0.0, 1.0), ())
    seen = torch.cat([batch[:, 0, 0, 0] for batch, _, _ in islice(_batches(bank, None, config, 0), 5)])
    assert sorted(seen[:10].tolist()) == sorted(seen[10:].tolist()) == pytest.approx([i / 10 for i in range(10)])


@pytest.mark.parametrize("prediction_type", ["sample", "v_prediction", "epsilon"])
def test_every_prediction_type_can_be_fitted(tiny: GeneratorConfig, squares: Pairs, prediction_type: str) -> None:
    config = dataclasses.replace(tiny, prediction_type=prediction_type, zero_terminal_snr=False)
    base = build_base(config)
    losses = [fit_base(base, squares[0], config, FitSteps(12), seed) for seed in range(3)]
    assert losses[2] < losses[0]


def test_learning_rate_warms_up_in_each_call_and_decays_over_all(tiny: GeneratorConfig) -> None:
    first = learning_rates(1.0, tiny, FitSteps(5, 0, 10))
    second = learning_rates(1.0, tiny, FitSteps(5, 5, 10))
    assert first[0] == pytest.approx(1 / 3)
    assert first[2] == pytest.approx((1 + 0.8090169944) / 2)  # cos(pi * 2 / 10)
    assert second[0] == pytest.approx(0.5 / 3)
    assert second[2] > second[3] > second[4] > 0
    with pytest.raises(DataError, match="not within 0 to 10"):
        FitSteps(6, 5, 10)


@pytest.mark.parametrize("spoilt", ["shape", "range", "nan", "none", "masks"])
def test_unfit_inputs_are_refused(tiny: GeneratorConfig, squares: Pairs, spoilt: str) -> None:
    images, channels = squares[0].clone(), squares[1]
    if spoilt == "shape":
        images = images[..., :8]
    elif spoilt == "range":
        images = images * 255
    elif spoilt == "nan":
        images[0, 0, 0, 0] = float("nan")
    elif spoilt == "none":
        images = images[:0]
    else:
        channels = channels[:, :1]
    generator_base = embedded_base(build_base(tiny), tiny)
    with pytest.raises(DataError):
        fit_branch(generator_base, build_branch(generator_base, tiny), MaskedImages(images, channels), tiny, 1, 0)


def test_gradients_are_no_longer_than_asked(tiny: GeneratorConfig, squares: Pairs) -> None:
    """Of a length far below AdamW's epsilon they move next to nothing; at full length every number by its rate."""
    moved = []
    for norm in (1.0, 1e-12):
        base = build_base(tiny, 0)
        before = torch.cat([parameter.detach().clone().flatten() for parameter in base.parameters()])
        fit_base(base, squares[0], dataclasses.replace(tiny, max_gradient_norm=norm), FitSteps(1), 0)
        after = torch.cat([parameter.detach().flatten() for parameter in base.parameters()])
        moved.append(float((after - before).abs().mean()))
    assert 0 < moved[1] < 0.01 * moved[0]
