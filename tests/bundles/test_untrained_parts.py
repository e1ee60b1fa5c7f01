# SPDX-License-Identifier: Apache-2.0
"""What a light network freezes is what no gradient reaches: nothing idle travels, and nothing trained stays."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsfedmed.bundles.definition import BundleDefinition

BUNDLES = Path(__file__).parents[2] / "bundles"
NAMES = ("light_unet_segmentation", "light_flexible_unet_segmentation", "light_tinysam_segmentation")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [1, 2])
def test_frozen_is_exactly_what_no_gradient_reaches(name: str, classes: int) -> None:
    small = {"image_size": [64, 64], "in_channels": 1, "num_classes": classes}
    network = BundleDefinition(BUNDLES / name, small).network(seed=0)
    frozen = {key for key, parameter in network.named_parameters() if not parameter.requires_grad}
    network.requires_grad_(True)
    network(torch.rand(2, 1, 64, 64)).square().mean().backward()
    assert frozen == {key for key, parameter in network.named_parameters() if parameter.grad is None}
    assert bool(frozen) == (name == "light_tinysam_segmentation")


def test_the_flexible_unet_counts() -> None:
    network = BundleDefinition(BUNDLES / "light_flexible_unet_segmentation", {"in_channels": 1}).network(seed=0)
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == 7_442_417
