# SPDX-License-Identifier: Apache-2.0
"""Blocks computed twice: the same outputs and gradients, and only where gradients are wanted."""

from __future__ import annotations

import copy

import pytest
import torch

from dsfedmed.networks.promptless_sam.image_encoder import SamImageEncoder


@pytest.fixture
def encoder() -> SamImageEncoder:
    """Two blocks over 4 x 4 tokens, with positions that are not zero."""
    torch.manual_seed(0)
    made = SamImageEncoder(
        img_size=16, patch_size=4, embed_dim=8, depth=2, num_heads=2, out_chans=6, window_size=2,
        global_attn_indexes=(1,), use_rel_pos=True,
    )  # fmt: skip
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made


IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_outputs_and_gradients_stay_the_same(encoder: SamImageEncoder) -> None:
    twin = copy.deepcopy(encoder)
    twin.checkpoint_blocks = True
    outputs = [network(IMAGES) for network in (encoder, twin)]
    assert outputs[0].shape == (2, 6, 4, 4)
    assert torch.equal(*outputs)
    for output in outputs:
        output.square().sum().backward()
    for (name, one), other in zip(encoder.named_parameters(), twin.parameters(), strict=True):
        assert one.grad is not None
        assert bool(one.grad.any()), name
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize(("recompute", "gradients", "runs"), [(False, True, 1), (True, True, 2), (True, False, 1)])
def test_blocks_run_twice_only_for_a_gradient(
    encoder: SamImageEncoder, recompute: bool, gradients: bool, runs: int
) -> None:
    seen: list[int] = []
    encoder.blocks[0].register_forward_pre_hook(lambda *_: seen.append(1))
    encoder.checkpoint_blocks = recompute
    with torch.set_grad_enabled(gradients):
        output = encoder(IMAGES)
        if gradients:
            output.sum().backward()
    assert len(seen) == runs
