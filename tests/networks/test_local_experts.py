# SPDX-License-Identifier: Apache-2.0
"""The L-MoE by hand: one identity expert, sparse routing, the balance loss; the personal branch of a real SAM."""

from __future__ import annotations

import math

import pytest
import torch
from peft.tuners.lora import LoraLayer
from torch import nn
from torch.nn.functional import conv2d, gelu, interpolate

from dsfedmed.networks.local_experts import (
    EXPERTS,
    LocalExperts,
    balance_loss,
    personal_branch,
    sparse_softmax,
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


def quiet(module: LocalExperts) -> None:
    """Leave the gate next to no noise on maps of positive means."""
    with torch.no_grad():
        module.noise.fill_(-50.0)


def test_the_gate_chooses_one_expert_and_weighs_it_by_its_probability() -> None:
    """Constant maps survive resampling: GELU(i u) of the chosen expert comes out, times its softmax over all."""
    experts = LocalExperts(2, count=3, top_k=1).eval()
    identity(experts)
    quiet(experts)
    with torch.no_grad():
        experts.gate.copy_(torch.tensor([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]]))
    maps = torch.ones(2, 4, 4, 2)
    maps[1, ..., 0], maps[1, ..., 1] = -1.0, 3.0  # logits (1, 0, -1) and (-1, 0, 1): the first expert and the third
    found, share = experts(maps), torch.tensor([1.0, 0.0, -1.0]).softmax(0)[0]
    torch.testing.assert_close(found[0], share * gelu(maps[0]), rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(found[1], share * gelu(3 * maps[1]), rtol=2e-3, atol=2e-3)


def test_two_experts_are_weighed_by_the_softmax_of_the_chosen() -> None:
    experts = LocalExperts(1, count=2, top_k=2).eval()
    identity(experts)
    quiet(experts)
    with torch.no_grad():
        experts.gate.copy_(torch.tensor([[1.0, 0.0]]))
    maps = torch.ones(1, 4, 4, 1)
    share = torch.tensor([1.0, 0.0]).softmax(0)
    expected = share[0] * gelu(torch.tensor(1.0)) + share[1] * gelu(torch.tensor(2.0))
    torch.testing.assert_close(experts(maps), expected.expand(1, 4, 4, 1), rtol=1e-3, atol=1e-3)


def test_all_but_the_largest_are_left_out() -> None:
    found = sparse_softmax(torch.tensor([[math.log(5), math.log(3), math.log(2)]]), 2)
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.3, 0.0]]))


def test_an_expert_enlarges_convolves_and_shrinks() -> None:
    """Expert 2 on a map that is not constant: its kernel meets the enlarged map, so that it sees half as far."""
    experts = LocalExperts(1, count=2, top_k=2).eval()
    with torch.no_grad():
        experts.experts[1].weight.fill_(0.1)
        experts.gate.copy_(torch.tensor([[-50.0, 50.0]]))  # the second alone
    maps = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0)) + 1
    larger = interpolate(maps, scale_factor=2, mode="bicubic", align_corners=False)
    worked = gelu(conv2d(larger, torch.full((1, 1, 3, 3), 0.1), padding=1))
    expected = interpolate(worked, size=(4, 4), mode="bicubic", align_corners=False)
    torch.testing.assert_close(experts(maps.movedim(1, -1)), expected.movedim(1, -1))
    direct = gelu(conv2d(maps, torch.full((1, 1, 3, 3), 0.1), padding=1))
    assert float((direct - expected).abs().max()) > 0.05, "at its own size it would be another map"


@pytest.mark.parametrize("top_k", [1, 2])
def test_the_tasks_loss_reaches_the_gate(top_k: int) -> None:
    """At k = 1 a softmax over the chosen one alone is the constant 1, from which no gate learns."""
    experts = LocalExperts(2, count=3, top_k=top_k).train()
    identity(experts)
    maps = torch.randn(8, 4, 4, 2, generator=torch.Generator().manual_seed(0))
    experts(maps).square().mean().backward()
    assert experts.gate.grad is not None
    assert float(experts.gate.grad.abs().max()) > 1e-3


@pytest.mark.parametrize("top_k", [1, 2])
def test_evaluation_is_the_mean_of_training(top_k: int) -> None:
    """Over 20,000 draws of the noise; and of experts that a new gate knows nothing of, none is preferred."""
    experts = LocalExperts(1, count=3, top_k=top_k)
    identity(experts)
    with torch.no_grad():
        experts.gate.copy_(torch.tensor([[0.5, 0.0, -0.2]]))
    maps = torch.ones(1, 2, 2, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = experts.train()(maps.expand(20_000, -1, -1, -1)).mean(0, keepdim=True)
    torch.testing.assert_close(experts.eval()(maps), drawn, rtol=0.05, atol=0.0)
    new = LocalExperts(1, count=3, top_k=top_k).eval()
    share = new._route(torch.ones(1, 1))[0].detach()
    assert share.tolist() == pytest.approx([float(share[0])] * 3)


def test_the_gate_learns_which_expert_serves_which_map_and_none_is_lost() -> None:
    """300 steps on two kinds of maps that want different answers; every expert has a share in evaluation too."""
    random = torch.Generator().manual_seed(0)
    kinds = torch.tensor([1.0, -1.0]).repeat(8).view(-1, 1, 1, 1)
    maps = kinds + 0.1 * torch.randn(16, 4, 4, 2, generator=random)
    target = torch.where(kinds > 0, 2 * maps, maps.flip(1))
    experts = LocalExperts(2, count=4)
    optimizer = torch.optim.Adam(experts.parameters(), lr=0.02)
    losses = []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(300):
            loss = (maps + experts.train()(maps) - target).square().mean()
            losses.append(float(loss.detach()))
            (loss + 0.01 * experts.balance).backward()
            optimizer.step()
            optimizer.zero_grad()
    share = experts.eval()._route(maps.mean(dim=(1, 2))).detach()
    assert losses[-1] < 0.3 * losses[0]
    with torch.no_grad():
        assert float((maps + experts(maps) - target).square().mean()) < 0.3 * losses[0]
    assert float((share.sum(0) / share.sum()).min()) > 0.05
    assert float((share[::2].mean(0) - share[1::2].mean(0)).abs().max()) > 0.05, "the kinds are told apart"


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
    own = personal_branch(shared, 4, 1)
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
    own = personal_branch(network, 2, 1)
    assert any("patch_embed" in name for name in trained_tensors(own))
    assert not any("patch_embed" in name for name in trained_tensors(own) if EXPERTS in name)
    own.train()(torch.zeros(2, 1, 32, 32))
    assert torch.isfinite(balance_loss(own))


@pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
def test_a_new_personal_branch_answers_as_the_global_one_to_the_last_bit(shared: PromptlessSam, mode: bool) -> None:
    """Behind a warm-up as well, when B has learned: the fixture's is not zero."""
    image, state = torch.linspace(0, 1, 1024).view(1, 1, 32, 32), torch.get_rng_state()
    own = personal_branch(shared, 3, 1)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        assert torch.equal(own.train(mode)(image), shared.train(mode)(image))


def test_experts_that_learn_change_the_output(shared: PromptlessSam) -> None:
    image, own = torch.linspace(0, 1, 1024).view(1, 1, 32, 32), personal_branch(shared, 2, 1).train()
    own(image).square().mean().backward()
    moved = [p for name, p in own.named_parameters() if ".experts.experts." in name]
    assert any(p.grad is not None and float(p.grad.abs().max()) > 0 for p in moved)
    with torch.no_grad():
        for parameter in moved:
            parameter.add_(0.1)
        assert not torch.allclose(own.eval()(image), shared(image))


def test_the_update_of_a_layer_is_b_of_the_map_and_its_experts() -> None:
    """h = W x + (alpha / r) B (u + E(u)), u = A x, in one adapted layer of a real block."""
    network = add_lora(build_promptless_sam("tiny", 32, 1), 2, 6.0)
    own = personal_branch(network, 2, 1).eval()
    layer = next(m for m in own.modules() if isinstance(m, LoraLayer))
    down = layer.lora_A["default"]
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in (*down.experts.parameters(), layer.lora_B["default"].weight):
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=random))
        tokens = torch.randn(2, 4, 4, down.in_features, generator=random)
        low = tokens @ down.weight.T
        inner = low + down.experts(low)
        assert float((inner - low).abs().max()) > 0.01
        expected = layer.base_layer(tokens) + 3.0 * inner @ layer.lora_B["default"].weight.T
        torch.testing.assert_close(layer(tokens), expected, rtol=1e-4, atol=1e-5)


def test_balance_of_a_network_without_experts_is_zero() -> None:
    assert float(balance_loss(nn.Linear(1, 1))) == 0.0


def test_at_vit_b_what_travels_and_what_stays_is_as_specified() -> None:
    """36,864 r numbers of LoRA and the decoder travel, 16.0 MiB; the experts on fused qkv stay."""
    with torch.device("meta"):
        network = add_lora(build_promptless_sam("vit_b", 1024, 1), 4, 4.0)
        own = personal_branch(network, 8, 1)
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
