# SPDX-License-Identifier: Apache-2.0
"""The frozen part: what it says of itself, and the prediction with and without a branch."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from dsfedmed.generator import GeneratorConfig, build_base, build_branch, embedded_base, predict, to_latent
from dsfedmed.generator.networks.base import DTYPES, GeneratorBase


@pytest.fixture
def base(tiny: GeneratorConfig) -> GeneratorBase:
    return embedded_base(build_base(tiny, seed=1), tiny)


def test_it_knows_its_latents_and_schedule(base: GeneratorBase) -> None:
    assert base.latent_shape(16) == (4, 8, 8)
    assert base.latent_shape(32) == (4, 16, 16)
    assert (base.prediction_type, base.train_timesteps) == ("sample", 1000)
    assert base.device == torch.device("cpu")


@pytest.mark.parametrize(("name", "product"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_arithmetic_is_in_its_number_format(base: GeneratorBase, name: str, product: torch.dtype) -> None:
    with dataclasses.replace(base, dtype=DTYPES[name]).arithmetic():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == product


def test_alone_it_predicts_what_its_network_does_under_its_context(base: GeneratorBase) -> None:
    latents, timesteps = torch.rand(2, 4, 8, 8), torch.tensor([3, 700])
    with torch.no_grad():
        expected = base.unet(latents, timesteps, base.context.expand(2, -1, -1), return_dict=False)[0]
        assert torch.equal(predict(base, None, latents, timesteps), expected)


def test_unfitted_branch_leaves_the_prediction_unchanged(tiny: GeneratorConfig, squares: tuple[Tensor, Tensor]) -> None:
    generator_base = embedded_base(build_base(tiny), tiny)
    branch = build_branch(generator_base, tiny)
    latents, timesteps = to_latent(squares[0][:3], tiny), torch.tensor([0, 500, 999])
    with torch.inference_mode():
        plain = predict(generator_base, None, latents, timesteps)
        steered = predict(generator_base, branch, latents, timesteps, squares[1][:3])
    assert plain.shape == latents.shape
    assert torch.equal(plain, steered)


def test_a_branch_adds_its_outputs_to_the_skip_connections(tiny: GeneratorConfig, base: GeneratorBase) -> None:
    """With constant outputs: the same as the network called with these residuals."""
    branch = build_branch(base, tiny)
    with torch.no_grad():
        for layer in [*branch.controlnet_down_blocks, branch.controlnet_mid_block]:
            layer.bias.fill_(0.1)
    latents, timesteps, masks = torch.rand(1, 4, 8, 8), torch.tensor([500]), torch.zeros(1, 2, 16, 16)
    with torch.no_grad():
        steered, plain = predict(base, branch, latents, timesteps, masks), predict(base, None, latents, timesteps)
        down, mid = branch(latents, timesteps, base.context, controlnet_cond=masks, return_dict=False)
        assert all(torch.equal(residual, torch.full_like(residual, 0.1)) for residual in (*down, mid))
        expected = base.unet(
            latents, timesteps, base.context, return_dict=False,
            down_block_additional_residuals=down, mid_block_additional_residual=mid,
        )[0]  # fmt: skip
    assert torch.equal(steered, expected)
    assert not torch.allclose(steered, plain)


def test_predictions_come_back_in_float32(tiny: GeneratorConfig, base: GeneratorBase) -> None:
    short = dataclasses.replace(base, dtype=torch.bfloat16)
    branch = build_branch(base, tiny)
    latents, timesteps = torch.rand(1, 4, 8, 8), torch.tensor([500])
    with torch.no_grad():
        assert predict(short, None, latents, timesteps).dtype == torch.float32
        assert predict(short, branch, latents, timesteps, torch.zeros(1, 2, 16, 16)).dtype == torch.float32
