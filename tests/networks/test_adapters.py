# SPDX-License-Identifier: Apache-2.0
"""FedMSA's adapters: where they sit by hand, what learns, and the published counts."""

from __future__ import annotations

import torch

from dsfedmed.networks.adapters import Adapter, WithAdapter, WithConvolutionalAdapter, add_adapters
from dsfedmed.networks.promptless_sam import build_promptless_sam


def test_an_adapted_network_starts_as_the_network_itself() -> None:
    network, images = build_promptless_sam("tiny", 32, 2, seed=1), torch.rand(2, 3, 32, 32)
    before = network(images)
    state = torch.random.get_rng_state()
    assert torch.equal(add_adapters(network, seed=3)(images), before)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_behind_the_layer_with_its_skip_and_beside_it_by_half() -> None:
    behind, beside = (WithAdapter(torch.nn.Identity(), 4, beside=flag) for flag in (False, True))
    tokens = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    for layer in (behind, beside):
        torch.nn.init.ones_(layer.adapter.down.weight)
        torch.nn.init.zeros_(layer.adapter.down.bias)
        torch.nn.init.ones_(layer.adapter.up.weight)
    raised = float(torch.nn.functional.gelu(torch.tensor(10.0)))
    torch.testing.assert_close(behind(tokens), tokens + raised)
    torch.testing.assert_close(beside(tokens), tokens + 0.5 * raised)


def test_a_stem_of_convolutions_has_one_beside_each_and_stays_below_16_percent() -> None:
    network, image = build_promptless_sam("wide", 64, 1, seed=1).eval(), torch.rand(1, 1, 64, 64)
    before, whole = network(image), sum(parameter.numel() for parameter in network.parameters())
    add_adapters(network)
    beside = [module for module in network.modules() if isinstance(module, WithConvolutionalAdapter)]
    assert len(beside) == 8
    assert torch.equal(network(image), before)
    learning = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    assert 0.12 < learning / whole < 0.16


def test_the_convolutional_adapter_by_hand() -> None:
    """Four channels, all weights of one window pixel 1: the layer's sum s, and 2 gelu(s) from the bottleneck."""
    layer = torch.nn.Conv2d(2, 4, 1, stride=2, bias=False)
    adapted = WithConvolutionalAdapter(layer)
    down, _, up = adapted.adapter
    for weight, value in ((layer.weight, 1.0), (down.weight, 1.0), (down.bias, 0.0), (up.weight, 2.0)):
        torch.nn.init.constant_(weight, value)
    found = adapted(torch.tensor([1.0, 2.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4))
    expected = 3.0 + 2.0 * float(torch.nn.functional.gelu(torch.tensor(3.0)))
    torch.testing.assert_close(found, torch.full((1, 4, 2, 2), expected))


def test_only_adapters_and_decoder_learn_and_all_of_them_do() -> None:
    network = add_adapters(build_promptless_sam("tiny", 32, 2, seed=1))
    for adapter in (module for module in network.modules() if isinstance(module, Adapter)):
        torch.nn.init.normal_(adapter.up.weight)
    network(torch.rand(2, 3, 32, 32)).square().mean().backward()
    learning = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert learning == {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert all(".adapter." in name or name.startswith("mask_decoder.") for name in learning)


def test_the_published_counts_at_vit_b() -> None:
    with torch.device("meta"):
        network = build_promptless_sam("vit_b", 1024, 1)
        frozen = sum(parameter.numel() for parameter in network.prompt_encoder.parameters())
        decoder = sum(parameter.numel() for parameter in network.mask_decoder.parameters())
        idle = sum(parameter.numel() for parameter in network.mask_decoder.iou_prediction_head.parameters())
        one = sum(parameter.numel() for parameter in Adapter(768).parameters())
        add_adapters(network)
    assert (one, decoder, frozen) == (295_872, 4_058_345, 6_220)
    assert 36 * one + decoder + frozen == 14_715_957
    learning = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    assert learning == 24 * one + decoder - idle
    assert learning / 93_735_477 < 0.16, "at most 16 % of FedSAM's bytes"
