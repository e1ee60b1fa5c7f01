# SPDX-License-Identifier: Apache-2.0
"""FedBN's division by hand: two sites, one weight that is averaged, one normalisation layer that is not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dsfedmed.algorithms.aggregation import WeightedMean
from dsfedmed.algorithms.local_layers import divide, local_names, statistics_names, take_statistics


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


def test_two_sites_of_silobn_by_hand() -> None:
    """Scale (3 + 3 * 6) / 4 = 5.25 and shift (1 + 0) / 4 = 0.25 are averaged as well; each keeps its statistics.

    At x = 1, site a gives 5.25 (5 - 1) / 2 + 0.25 = 10.75 and site b gives 5.25 (5 - 2) / 3 + 0.25 = 5.5.
    """
    sites = {"site_a": toy(2, 3, 1, 1, 4), "site_b": toy(6, 6, 0, 2, 9)}
    local = statistics_names(sites["site_a"])
    assert local == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    mean = WeightedMean()
    for images, (site, network) in zip((1, 3), sites.items(), strict=True):
        mean.add(site, divide(network.state_dict(), local)[0], images)
    for network in sites.values():
        network.load_state_dict(mean.result(), strict=False)
    one = torch.ones(1, 1, 1, 1)
    assert {site: network(one).item() for site, network in sites.items()} == {"site_a": 10.75, "site_b": 5.5}


@pytest.mark.parametrize("layer", [nn.BatchNorm2d, nn.InstanceNorm2d], ids=lambda kind: kind.__name__)
def test_a_new_site_takes_the_mean_of_its_batches(layer: type[nn.Module]) -> None:
    """The layer gets twice the image: 0 and 4 (mean 2, variance 8), then 4 and 8 (6 and 8), then 4 and 4 (4 and 0)."""
    network = toy(2, 3, 1, 9, 9)
    network[1] = layer(1, affine=True, track_running_stats=True, momentum=0.3)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    batches = [torch.tensor(pair).view(1, 1, 1, 2) for pair in ([0.0, 2.0], [2.0, 4.0], [2.0, 2.0])]
    take_statistics(network, batches)
    state = network.state_dict()
    assert state["1.running_mean"].item() == pytest.approx(4)
    assert state["1.running_var"].item() == pytest.approx((8 + 8 + 0) / 3)
    assert all(torch.equal(state[name], before[name]) for name in ("0.weight", "1.weight", "1.bias"))
    assert (network[1].momentum, network[1].training) == (0.3, False)


def test_layers_of_each_image_keep_no_statistics() -> None:
    network = nn.Sequential(nn.InstanceNorm2d(2, affine=True), nn.GroupNorm(1, 2))
    assert statistics_names(network) == frozenset()
    assert len(local_names(network)) == 4


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
