# SPDX-License-Identifier: Apache-2.0
"""What of a network travels, by hand: trained parameters and float buffers; no frozen parameter, no counter."""

from __future__ import annotations

import torch
from torch import nn

from dsfedmed.networks.trained_tensors import copied_tensors, trained_tensors


def _network() -> nn.Module:
    """A frozen convolution, and a batch normalisation with two statistics and a counter."""
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    network[0].requires_grad_(False)
    return network


def test_parameters_that_learn_and_float_buffers_travel() -> None:
    assert trained_tensors(_network()).keys() == {"1.weight", "1.bias", "1.running_mean", "1.running_var"}


def test_they_are_the_network_s_own_memory_and_copies_are_not() -> None:
    network = _network()
    shared, copied = trained_tensors(network), copied_tensors(network)
    with torch.no_grad():
        network[1].weight.fill_(7.0)
    assert torch.equal(shared["1.weight"], torch.full((2,), 7.0))
    assert torch.equal(copied["1.weight"], torch.ones(2))


def test_copies_are_plain_tensors_on_the_cpu() -> None:
    for tensor in copied_tensors(_network()).values():
        assert tensor.device.type == "cpu"
        assert not tensor.requires_grad
