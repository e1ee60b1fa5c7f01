# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses

import torch

from dsfedmed.generator import FitSteps, GeneratorConfig, PixelUnshuffle, build_base, fit_base
from dsfedmed.generator.latents import LatentBank


def test_bank_by_hand() -> None:
    images = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]], [[[5.0, 6.0], [7.0, 8.0]]]])
    bank = LatentBank(images, PixelUnshuffle(1, 0.0, 1.0), (0, 1))
    assert len(bank) == 2
    chosen = torch.tensor([0, 0, 0, 1])
    along_x, along_y = torch.tensor([False, True, False, True]), torch.tensor([False, False, True, True])
    found = bank.pick(chosen, [along_x, along_y])[:, 0]
    expected = [[[1, 2], [3, 4]], [[3, 4], [1, 2]], [[2, 1], [4, 3]], [[8, 7], [6, 5]]]
    assert found.tolist() == expected


def test_flipped_images_are_encoded_not_latents_flipped() -> None:
    images = torch.arange(16.0).reshape(1, 1, 4, 4) / 16
    codec = PixelUnshuffle(2)
    bank = LatentBank(images, codec, (0,))
    assert torch.equal(bank.pick(torch.tensor([0]), [torch.tensor([True])]), codec.encode(images.flip(2)))
    assert not torch.equal(codec.encode(images.flip(2)), codec.encode(images).flip(2))


def test_accumulated_passes_make_one_step_on_their_mean(tiny: GeneratorConfig) -> None:
    """Two passes of four images each: half the sum of their losses is reported, and the gradient is its gradient."""
    images = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    config = dataclasses.replace(tiny, batch_size=4, accumulation=2, flip_axes=())
    plain = dataclasses.replace(config, accumulation=1)
    reported: list[float] = []
    fit_base(build_base(config), images, config, FitSteps(1), 0, on_step=lambda _, loss: reported.append(loss))
    # At a learning rate of nearly nothing the network stays, so the two passes are two single steps.
    still = dataclasses.replace(plain, base_learning_rate=1e-20)
    single: list[float] = []
    fit_base(build_base(config), images, still, FitSteps(2), 0, on_step=lambda _, loss: single.append(loss))
    assert abs(reported[0] - sum(single) / 2) < 1e-5
