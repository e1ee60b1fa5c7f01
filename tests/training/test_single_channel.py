# SPDX-License-Identifier: Apache-2.0
"""The fast one-to-one convolution is the same function, gives the same gradients, and leaves no trace."""

from __future__ import annotations

import copy

import pytest
import torch
from monai.networks.nets import UNet
from torch import nn

from dsfedmed.training.single_channel import fast_single_channel_convolutions, single_channel_convolution


@pytest.mark.parametrize("bias", [True, False])
def test_equals_the_convolution_with_its_gradients(bias: bool) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(1, 1, 3, padding=1, bias=bias).double()
    images = torch.randn(2, 1, 5, 7, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 1, 5, 7, dtype=torch.float64)
    inputs = [images, *convolution.parameters()]
    expected = convolution(images)
    found = single_channel_convolution(images, convolution.weight, convolution.bias)
    torch.testing.assert_close(found, expected)
    for one, two in zip(
        torch.autograd.grad((found * weights).sum(), inputs),
        torch.autograd.grad((expected * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(one, two)


def test_a_unet_gives_the_same_logits_and_comes_back_as_it_was() -> None:
    torch.manual_seed(0)
    network = UNet(2, 1, 1, (4, 8), (2,), num_res_units=2, norm="INSTANCE")
    names = list(network.state_dict())
    images = torch.rand(2, 1, 16, 16)
    expected = network(images)
    with fast_single_channel_convolutions(network) as replaced:
        assert replaced == 1
        torch.testing.assert_close(network(images), expected, atol=1e-5, rtol=1e-5)
        assert list(network.state_dict()) == names
    assert torch.equal(network(images), expected)
    copy.deepcopy(network)


def test_the_forward_pass_is_put_back_after_an_error() -> None:
    network = nn.Conv2d(1, 1, 3, padding=1)
    with pytest.raises(RuntimeError, match="stop"), fast_single_channel_convolutions(network):
        raise RuntimeError("stop")
    assert "forward" not in vars(network)


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(1, 1, 3),
        nn.Conv2d(1, 1, 3, padding=1, stride=2),
        nn.Conv2d(1, 1, 1),
        nn.Conv2d(2, 2, 3, padding=1),
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(1, 1, 3, padding="same"),
        nn.ConvTranspose2d(1, 1, 3, padding=1),
    ],
)
def test_other_convolutions_are_left_alone(other: nn.Module) -> None:
    with fast_single_channel_convolutions(other) as replaced:
        assert replaced == 0
