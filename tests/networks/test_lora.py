# SPDX-License-Identifier: Apache-2.0
"""LoRA on the encoder: by hand, merged, taken away after an error, and counted at ViT-B."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from dsfedmed.errors import ConfigError
from dsfedmed.networks.lora import TARGETS, is_lora, lora
from dsfedmed.networks.promptless_sam import PromptlessSam, build_promptless_sam

QKV = "image_encoder.blocks.1.attn.qkv"


@pytest.fixture
def network() -> PromptlessSam:
    return build_promptless_sam("tiny", 32, 1).eval()


def move(network: nn.Module) -> None:
    """Give every LoRA matrix values, as training would."""
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if is_lora(name):
                parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.1)


def output(network: PromptlessSam) -> Tensor:
    with torch.no_grad():
        return network(torch.linspace(0, 1, 1024).view(1, 1, 32, 32))


def test_it_starts_as_the_network_itself(network: PromptlessSam) -> None:
    before = output(network)
    with lora(network, 4, 4.0):
        torch.testing.assert_close(output(network), before)
    torch.testing.assert_close(output(network), before)


def test_merged_is_adapted_and_the_weight_by_hand(network: PromptlessSam) -> None:
    keys, before = list(network.state_dict()), copy.deepcopy(network.state_dict())
    with lora(network, 2, 6.0):
        move(network)
        tensors = network.state_dict()
        a, b = tensors[f"{QKV}.lora_A.default.weight"], tensors[f"{QKV}.lora_B.default.weight"]
        adapted = output(network)
    assert list(network.state_dict()) == keys
    torch.testing.assert_close(network.state_dict()[f"{QKV}.weight"], before[f"{QKV}.weight"] + 3.0 * b @ a)
    torch.testing.assert_close(output(network), adapted, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(adapted, build_output(before), atol=1e-4)
    changed = {key for key in keys if not torch.equal(before[key], network.state_dict()[key])}
    assert changed == {f"image_encoder.blocks.{block}.attn.qkv.weight" for block in (0, 1)}


def build_output(state: dict[str, Tensor]) -> Tensor:
    network = build_promptless_sam("tiny", 32, 1).eval()
    network.load_state_dict(state)
    return output(network)


def test_inside_only_the_updates_and_the_decoder_learn(network: PromptlessSam) -> None:
    with lora(network, 4, 4.0):
        learning = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
        assert {name.split(".")[0] for name in learning if not is_lora(name)} == {"mask_decoder"}
        assert sum(is_lora(name) for name in learning) == 4
    assert all(parameter.requires_grad for parameter in network.parameters())


def diverge(network: PromptlessSam) -> None:
    with lora(network, 4, 4.0):
        move(network)
        raise ZeroDivisionError


def test_an_error_takes_the_updates_away(network: PromptlessSam) -> None:
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(ZeroDivisionError):
        diverge(network)
    assert list(before) == list(network.state_dict())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("rank", [1, 4, 16])
def test_vit_b_has_36864_parameters_a_rank_on_qkv(rank: int) -> None:
    with torch.device("meta"):
        network = build_promptless_sam("vit_b", 1024, 1)
        with lora(network, rank, 4.0):
            counts = [p.numel() for name, p in network.named_parameters() if is_lora(name)]
    assert sum(counts) == 36_864 * rank
    assert len(counts) == 24


def test_every_linear_layer_and_the_stem_can_be_adapted(network: PromptlessSam) -> None:
    with lora(network, 1, 1.0, TARGETS):
        names = {name for name, _ in network.named_parameters() if name.endswith("lora_A.default.weight")}
        move(network)
        adapted = output(network)
    assert len(names) == 2 * 4 + 1, "two blocks of four layers, and one convolution makes the tokens"
    torch.testing.assert_close(output(network), adapted, rtol=1e-4, atol=1e-5)


def test_start_values_come_from_the_seed_and_leave_the_global_generator_alone(network: PromptlessSam) -> None:
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(5)
        with lora(network, 2, 2.0, seed=seed):
            drawn.append(network.state_dict()[f"{QKV}.lora_A.default.weight"].clone())
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(5)))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_every_convolution_of_a_stem_gets_its_update() -> None:
    """r (9 in + out) for each 3 x 3 convolution, and r (in + out) for the last, of 1 x 1."""
    stemmed = build_promptless_sam("wide", 64, 1).eval()
    image = torch.linspace(0, 1, 4096).view(1, 1, 64, 64)
    stem = stemmed.image_encoder.patch_embed
    layers = [layer for layer in stem.modules() if isinstance(layer, nn.Conv2d)]
    with lora(stemmed, 2, 2.0, ("stem",)), torch.no_grad():
        found = sum(parameter.numel() for name, parameter in stemmed.named_parameters() if is_lora(name))
        move(stemmed)
        adapted = stemmed(image)
    windows = [layer.kernel_size[0] * layer.kernel_size[1] * layer.in_channels for layer in layers]
    assert len(layers) == 8
    assert found == sum(2 * (window + layer.out_channels) for window, layer in zip(windows, layers, strict=True))
    with torch.no_grad():
        torch.testing.assert_close(stemmed(image), adapted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("targets", [(), ("query",)])
def test_targets_that_are_no_layers_are_refused(network: PromptlessSam, targets: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="Use qkv, proj, lin1, lin2"), lora(network, 4, 4.0, targets):
        pass


def test_a_network_without_blocks_is_refused() -> None:
    with pytest.raises(ConfigError, match="no block has qkv"), lora(nn.Linear(2, 2), 4, 4.0):
        pass
