# SPDX-License-Identifier: Apache-2.0
"""The sites of every recipe load as training loads them, with the light U-Net bundle's own preprocessing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.data.arrays import load_part
from tests.data.datasets.layouts import made

BUNDLE = Path(__file__).parents[3] / "bundles/light_unet_segmentation"


@pytest.mark.parametrize(
    ("name", "site", "channels", "classes"),
    [
        ("fundus", "rim_one_r3", 3, 2),
        ("prostate", "BMC", 1, 1),
        ("nuclei", "monusac", 3, 1),
        ("isic", "tone_dark", 3, 1),
        ("chaos", "MR", 1, 1),
    ],
)
def test_every_part_loads_at_network_size(
    name: str, site: str, channels: int, classes: int, downloads: dict[str, Path], tmp_path: Path
) -> None:
    bundle = BundleDefinition(
        BUNDLE, {"image_size": [32, 32], "in_channels": channels, "num_classes": classes, "nested": True}
    )
    datalist = made(name, downloads[name], tmp_path, only=(site,))[site]
    for part, items in datalist.parts.items():
        arrays = load_part(datalist, part, bundle.preprocessing())
        assert arrays.images.shape == (len(items), channels, 32, 32)
        assert arrays.labels.shape == (len(items), 1, 32, 32)
        assert 0.0 <= float(arrays.images.min()) < float(arrays.images.max()) <= 1.0
        assert torch.unique(arrays.labels).tolist() == list(range(classes + 1))
