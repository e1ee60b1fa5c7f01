# SPDX-License-Identifier: Apache-2.0
"""The L-MoE by hand: one identity expert, sparse routing, the balance loss; the personal branch of a real SAM."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import gelu

from dsfedmed.networks.local_experts import (
    EXPERTS,
    LocalExperts,
    balance_loss,
    personal_branch,
    squared_variation,
)
from dsfedmed.networks.lora import add_lora, is_lora, merge_lora
from dsfedmed.networks.promptless_sam import PromptlessSam, build_promptless_sam
from dsfedmed.networks.trained_tensors import trained_tensors


def identity(module: LocalExperts) -> None:
    """Let expert i multiply by i + 1."""
    with torch.no_grad():
        for number, expert in enumerate(module.experts):
            expert.weight.zero_()
            expert.bias.zero_()
            for channel in range(expert.weight.shape[0]):
                expert.weight[channel, channel, 1, 1] = number + 1


def test_the_gate_chooses_one_expert_and_does_not_scale_it() -> None:
    """Constant maps survive resampling: the chosen expert's GELU(i u) comes out, and only that."""
    experts = LocalExperts(2, count=3, top_k=1).eval()
    identity(experts)
    with torch.no_grad():
        experts.gate.copy_(torch.tensor([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]]))
    maps = torch.ones(2, 4, 4, 2)
    maps[1, ..., 0] = -1.0  # logits (1, 0, -1) and (-1, 0, 1): the first expert and the third
    found = experts(maps)
    torch.testing.assert_close(found[0], gelu(maps[0]))
    torch.testing.assert_close(found[1], gelu(3 * maps[1]), rtol=1e-4, atol=1e-4)


def test_two_experts_are_weighed_by_the_softmax_of_the_chosen() -> None:
    experts = LocalExperts(1, count=2, top_k=2).eval()
    identity(experts)
    with torch.no_grad():
        experts.gate.copy_(torch.tensor([[1.0, 0.0]]))
    maps = torch.ones(1, 4, 4, 1)
    share = torch.tensor([1.0, 0.0]).softmax(0)
    expected = share[0] * gelu(torch.tensor(1.0)) + share[1] * gelu(torch.tensor(2.0))
    torch.testing.assert_close(experts(maps), expected.expand(1, 4, 4, 1), rtol=1e-4, atol=1e-4)


def test_the_balance_loss_is_small_when_experts_share_and_large_when_one_does_all() -> None:
    assert float(squared_variation(torch.tensor([2.0, 2.0, 2.0]))) == 0.0
    assert float(squared_variation(torch.tensor([3.0, 0.0, 0.0]))) == pytest.approx(2.0)
    experts = LocalExperts(1, count=2)
    with torch.no_grad():
        experts.gate.copy_(torch.tensor([[50.0, -50.0]]))
    experts.train()(torch.ones(4, 2, 2, 1))
    assert float(experts.balance.detach()) == pytest.approx(2.0), "importance and load both on one of two"


def test_in_training_the_gate_learns_and_evaluation_draws_nothing() -> None:
    experts = LocalExperts(2, count=2).train()
    experts(torch.randn(8, 4, 4, 2, generator=torch.Generator().manual_seed(0)))
    experts.balance.backward()
    assert experts.gate.grad is not None
    assert float(experts.gate.grad.abs().sum()) > 0
    experts.eval()
    maps = torch.rand(2, 4, 4, 2)
    torch.testing.assert_close(experts(maps), experts(maps), rtol=0, atol=0)


@pytest.mark.parametrize(("count", "top_k"), [(2, 3), (2, 0)])
def test_impossible_routing_is_refused(count: int, top_k: int) -> None:
    with pytest.raises(ValueError, match="top_k"):
        LocalExperts(2, count, top_k)


@pytest.fixture
def shared() -> PromptlessSam:
    network = add_lora(build_promptless_sam("tiny", 32, 1), 4, 4.0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if is_lora(name):
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return network.eval()


def test_the_personal_branch_shares_what_is_frozen_and_copies_what_learns(shared: PromptlessSam) -> None:
    own = personal_branch(shared, 4, 1, seed=0)
    theirs = dict(shared.named_parameters())
    for name, parameter in own.named_parameters():
        if EXPERTS in name:
            assert parameter.requires_grad
        elif parameter.requires_grad:
            assert parameter is not theirs[name]
            torch.testing.assert_close(parameter, theirs[name])
        else:
            assert parameter is theirs[name]
    experts = {name for name in trained_tensors(own) if EXPERTS in name}
    assert trained_tensors(own).keys() - experts == trained_tensors(shared).keys()
    assert experts


def test_adapted_convolutions_have_no_experts() -> None:
    network = add_lora(build_promptless_sam("tiny", 32, 1), 2, 2.0, ("qkv", "stem"))
    own = personal_branch(network, 2, 1, seed=0)
    assert any("patch_embed" in name for name in trained_tensors(own))
    assert not any("patch_embed" in name for name in trained_tensors(own) if EXPERTS in name)
    own.train()(torch.zeros(2, 1, 32, 32))
    assert torch.isfinite(balance_loss(own))


def test_experts_change_the_output_and_their_seed_is_their_own(shared: PromptlessSam) -> None:
    image = torch.linspace(0, 1, 1024).view(1, 1, 32, 32)
    state = torch.get_rng_state()
    first, again, other = (personal_branch(shared, 2, 1, seed).eval() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        assert torch.equal(first(image), again(image))
        assert not torch.equal(first(image), other(image))
        assert not torch.allclose(first(image), shared(image))


def test_balance_of_a_network_without_experts_is_zero() -> None:
    assert float(balance_loss(nn.Linear(1, 1))) == 0.0


def test_at_vit_b_what_travels_and_what_stays_is_as_specified() -> None:
    """36,864 r numbers of LoRA and the decoder travel, 16.0 MiB; the experts on fused qkv stay."""
    with torch.device("meta"):
        network = add_lora(build_promptless_sam("vit_b", 1024, 1), 4, 4.0)
        own = personal_branch(network, 8, 1, 0)
    low_rank = sum(p.numel() for name, p in network.named_parameters() if is_lora(name))
    assert low_rank == 147_456
    decoder = sum(p.numel() for p in network.mask_decoder.parameters())
    assert decoder == 4_058_345
    assert (low_rank + decoder) * 4 / 2**20 == pytest.approx(16.0, abs=0.1)
    learned = sum(t.numel() for t in trained_tensors(network).values())
    assert learned <= low_rank + decoder + 2 * 256, "no more than that, and SAM's code of positions"
    convolutions = sum(p.numel() for name, p in own.named_parameters() if ".experts.experts." in name)
    assert convolutions == 12 * 8 * (4 * 4 * 9 + 4)


def test_merged_is_the_adapted_network_with_sams_keys(shared: PromptlessSam) -> None:
    image = torch.linspace(0, 1, 1024).view(1, 1, 32, 32)
    with torch.no_grad():
        adapted = shared(image)
        merged = merge_lora(shared)
        torch.testing.assert_close(merged(image), adapted, rtol=1e-4, atol=1e-5)
    assert list(merged.state_dict()) == list(build_promptless_sam("tiny", 32, 1).state_dict())
    assert all(parameter.requires_grad for parameter in merged.parameters())
