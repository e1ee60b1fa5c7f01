# SPDX-License-Identifier: Apache-2.0
"""Idle parts are frozen by name, and what the bundle calls idle is what no gradient reaches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from dsfedmed.errors import ConfigError
from dsfedmed.networks.bundle import BundleDefinition
from dsfedmed.networks.idle import without_idle

BUNDLES = Path(__file__).parents[2] / "bundles"


def test_only_the_named_parts_are_frozen() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    assert without_idle(network, ["1."]) is network
    assert [p.requires_grad for p in network.parameters()] == [True, True, False, False]


def test_a_prefix_without_parameters_is_refused() -> None:
    with pytest.raises(ConfigError, match="no parameter of Linear begins with 'head'"):
        without_idle(nn.Linear(1, 1), ["head"])


@pytest.mark.parametrize("name", ["light_flexible_unet_segmentation", "light_tinysam_segmentation"])
@pytest.mark.parametrize("classes", [1, 2])
def test_idle_is_exactly_what_no_gradient_reaches(name: str, classes: int) -> None:
    small = {"image_size": [64, 64], "in_channels": 1, "num_classes": classes}
    network = BundleDefinition(BUNDLES / name, small).network(seed=0)
    frozen = {key for key, parameter in network.named_parameters() if not parameter.requires_grad}
    network.requires_grad_(True)
    network(torch.rand(2, 1, 64, 64)).square().mean().backward()
    assert frozen == {key for key, parameter in network.named_parameters() if parameter.grad is None}
    assert frozen


def test_the_flexible_unet_counts() -> None:
    network = BundleDefinition(BUNDLES / "light_flexible_unet_segmentation", {"in_channels": 1}).network(seed=0)
    assert sum(p.numel() for p in network.parameters()) == 7_059_701
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == 5_366_541
