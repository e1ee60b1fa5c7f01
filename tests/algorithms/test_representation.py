# SPDX-License-Identifier: Apache-2.0
"""FedRep's steps by hand: two sites, one number of the representation, one of the head."""

from __future__ import annotations

from collections.abc import Collection

import pytest
import torch
from torch import nn

from dsfedmed.algorithms.aggregation import WeightedMean
from dsfedmed.algorithms.local_layers import divide
from dsfedmed.algorithms.representation import head_names, learning

TARGETS = {"site_a": 2.0, "site_b": 0.0}
IMAGES = {"site_a": 1, "site_b": 3}


def toy() -> nn.Sequential:
    """x -> h (phi x), both 1."""
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    for parameter in network.parameters():
        nn.init.ones_(parameter)
    return network


def step(network: nn.Module, names: Collection[str], target: float) -> None:
    """One step of rate 1/2 on 1/2 (h phi - target)^2: h loses (h phi - target) phi / 2, and phi the like."""
    with learning(network, names) as parameters:
        loss = 0.5 * (network(torch.ones(1, 1)) - target).square().sum()
        loss.backward()
        torch.optim.SGD(parameters, lr=0.5).step()
        for parameter in parameters:
            parameter.grad = None


def values(network: nn.Module) -> list[float]:
    """phi and h."""
    return [tensor.item() for tensor in network.state_dict().values()]


def mean_of(networks: dict[str, nn.Module], head: frozenset[str]) -> dict[str, float]:
    mean = WeightedMean()
    for site, network in networks.items():
        mean.add(site, divide(network.state_dict(), head)[0], IMAGES[site])
    return {name: tensor.item() for name, tensor in mean.result().items()}


def test_two_sites_of_fedrep_by_hand() -> None:
    """Site a: h = 1 + 1/2, then phi = 1 - (1.5 - 2) 1.5 / 2. Site b: h = 1 - 1/2, then phi = 1 - 0.5 * 0.5 / 2."""
    networks = {site: toy() for site in TARGETS}
    head = head_names(toy(), layers=1)
    for site, network in networks.items():
        step(network, head, TARGETS[site])
        assert values(network)[0] == 1.0, "the representation waits for the head"
        step(network, {"0.weight"}, TARGETS[site])
    assert values(networks["site_a"]) == [1.375, 1.5]
    assert values(networks["site_b"]) == [0.875, 0.5]
    assert mean_of(networks, head) == {"0.weight": (1.375 + 3 * 0.875) / 4}


def test_two_sites_of_fedper_by_hand() -> None:
    """Both move at once from where they were: by 1/2 up at site a, by 1/2 down at site b."""
    networks = {site: toy() for site in TARGETS}
    for site, network in networks.items():
        step(network, {"0.weight", "1.weight"}, TARGETS[site])
    assert values(networks["site_a"]) == [1.5, 1.5]
    assert values(networks["site_b"]) == [0.5, 0.5]
    assert mean_of(networks, head_names(toy(), layers=1)) == {"0.weight": (1.5 + 3 * 0.5) / 4}


class Unet(nn.Module):
    """Ends as MONAI's does: a layer from 8 maps to one, its normalisation, a layer from one to one."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 8, 3), nn.InstanceNorm2d(8, affine=True))
        up = nn.Sequential(nn.ConvTranspose2d(8, 1, 3), nn.BatchNorm2d(1))
        self.up = nn.Sequential(up, nn.Sequential(nn.Conv2d(1, 1, 3, bias=False)))


WIDE = {
    "up.0.0.weight", "up.0.0.bias", "up.0.1.weight", "up.0.1.bias", "up.0.1.running_mean", "up.0.1.running_var",
    "up.0.1.num_batches_tracked", "up.1.0.weight",
}  # fmt: skip


@pytest.mark.parametrize(("layers", "names"), [(0, WIDE), (1, {"up.1.0.weight"}), (2, WIDE)])
def test_the_head_begins_with_the_last_layer_that_gets_more_than_the_network_gives(
    layers: int, names: set[str]
) -> None:
    assert head_names(Unet(), layers) == names


def test_a_last_layer_that_narrows_is_the_head_alone() -> None:
    assert head_names(nn.Sequential(nn.Conv2d(1, 8, 3), nn.Linear(8, 8), nn.Conv2d(8, 3, 1))) == {"2.weight", "2.bias"}


def test_frozen_layers_are_not_counted_and_stay_frozen() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(2, 2))
    for parameter in network[2].parameters():
        parameter.requires_grad_(False)
    assert head_names(network) == {"1.weight", "1.bias", "2.weight", "2.bias"}
    with learning(network, {"1.weight", "2.weight"}) as parameters:
        assert [parameter.shape for parameter in parameters] == [(2, 4)]
    learned = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert learned == {"0.weight", "0.bias", "1.weight", "1.bias"}


@pytest.mark.parametrize("layers", [2, 3])
def test_a_head_that_leaves_nothing_to_share_is_refused(layers: int) -> None:
    with pytest.raises(ValueError, match=f"{layers} of 2 layers"):
        head_names(toy(), layers)


def test_a_network_of_one_width_is_refused_unless_the_layers_are_named() -> None:
    with pytest.raises(ValueError, match="2 of 2 layers"):
        head_names(toy())
