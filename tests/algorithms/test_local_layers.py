# SPDX-License-Identifier: Apache-2.0
"""FedBN's division by hand: two sites, one weight that is averaged, one normalisation layer that is not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dsfedmed.algorithms.aggregation import WeightedMean
from dsfedmed.algorithms.local_layers import divide, local_names


def toy(weight: float, scale: float, shift: float, mean: float, variance: float) -> nn.Sequential:
    """x -> scale (weight x - mean) / sqrt(variance) + shift."""
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1, eps=0.0))
    values = {"0.weight": weight, "1.weight": scale, "1.bias": shift, "1.running_mean": mean, "1.running_var": variance}
    state = {name: torch.full_like(network.state_dict()[name], value) for name, value in values.items()}
    network.load_state_dict(state, strict=False)
    return network.eval()


def test_two_sites_by_hand() -> None:
    """w = (1 * 2 + 3 * 6) / 4 = 5 at both; each keeps its normalisation.

    At x = 1, site a gives 3 (5 - 1) / 2 + 1 = 7 and site b gives 6 (5 - 2) / 3 + 0 = 6.
    """
    sites = {"site_a": toy(2, 3, 1, 1, 4), "site_b": toy(6, 6, 0, 2, 9)}
    local = local_names(sites["site_a"])
    mean = WeightedMean()
    for images, (site, network) in zip((1, 3), sites.items(), strict=True):
        shared, own = divide({n: t for n, t in network.state_dict().items() if t.is_floating_point()}, local)
        assert list(shared) == ["0.weight"]
        assert set(own) == {"1.weight", "1.bias", "1.running_mean", "1.running_var"}
        mean.add(site, shared, images)
    for network in sites.values():
        network.load_state_dict(mean.result(), strict=False)
    one = torch.ones(1, 1, 1, 1)
    assert {site: network(one).item() for site, network in sites.items()} == {"site_a": 7.0, "site_b": 6.0}


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (nn.BatchNorm1d(2), {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}),
        (nn.BatchNorm3d(2, affine=False), {"running_mean", "running_var", "num_batches_tracked"}),
        (nn.SyncBatchNorm(2, track_running_stats=False), {"weight", "bias"}),
        (nn.InstanceNorm2d(2, affine=True), {"weight", "bias"}),
        (nn.InstanceNorm2d(2), set()),
        (nn.GroupNorm(1, 2), {"weight", "bias"}),
        (nn.LayerNorm(2), set()),
        (nn.Conv2d(2, 2, 1), set()),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_what_belongs_to_each_kind_of_layer(layer: nn.Module, names: set[str]) -> None:
    assert local_names(layer) == names
    assert local_names(nn.ModuleDict({"inner": nn.Sequential(nn.ReLU(), layer)})) == {f"inner.1.{n}" for n in names}


def test_a_layer_that_is_used_twice_is_local_under_both_names() -> None:
    layer = nn.GroupNorm(1, 2)
    network = nn.Sequential(layer, nn.Conv2d(2, 2, 1), layer)
    assert local_names(network) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    shared, own = divide(network.state_dict(), local_names(network))
    assert set(shared) == {"1.weight", "1.bias"}
    assert shared.keys() | own.keys() == network.state_dict().keys()


def test_a_derived_layer_counts() -> None:
    class WithActivation(nn.BatchNorm2d):
        """As timm has it."""

    assert "weight" in local_names(WithActivation(2))
