# SPDX-License-Identifier: Apache-2.0
"""Every folder in bundles/, and small sites in several formats to try them on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.conftest import write_image

ROOT = Path(__file__).parents[2]
BUNDLES = sorted(path for path in (ROOT / "bundles").iterdir() if (path / "configs" / "train.json").is_file())
# Settings that a laptop trains in a second; a bundle that is not named here is tried at its own size.
SMALL: dict[str, dict[str, Any]] = {
    "light_unet_segmentation": {"image_size": [32, 32]},
    "light_assessed_unet_segmentation": {"image_size": [32, 32]},
    "light_flexible_unet_segmentation": {"image_size": [64, 64]},
    "light_tinysam_segmentation": {"image_size": [64, 64], "in_channels": 1},
    "promptless_sam_segmentation": {"image_size": [32, 32], "in_channels": 1, "variant": "tiny", "tuning": "full"},
}
# What no job sets, for whoever runs the bundle alone: a random start.
ALONE: dict[str, dict[str, Any]] = {"promptless_sam_segmentation": {"start_weights": ""}}


def blocks(seed: int, classes: int, colour: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture of 30 rows and 44 columns with a bright block, and a brighter one inside for two classes."""
    random = np.random.default_rng(seed)
    label = np.zeros((30, 44), np.uint8)
    x, y = random.integers(4, 14, 2)
    label[y : y + 12, x : x + 20] = 1
    if classes == 2:
        label[y + 3 : y + 9, x + 5 : x + 15] = 2
    grey = np.clip(50 + 90 * label + random.normal(0, 6, label.shape), 0, 255).astype(np.uint8)
    return (np.repeat(grey[..., None], 3, axis=2) if colour else grey), label


def write_site(folder: Path, classes: int, colour: bool, suffixes: tuple[str, str]) -> Path:
    """Write eight pairs, in two formats by turns: four to train on, two to validate, two to test."""
    items = []
    for index in range(8):
        image, label = blocks(index, classes, colour)
        name, mask = f"i{index}{suffixes[index % 2]}", f"l{index}.png"
        write_image(folder / name, image)
        write_image(folder / mask, label)
        items.append({"image": name, "label": mask})
    names = {"0": "background", "1": "block", "2": "core"}
    document = {"name": folder.name, "labels": {str(k): names[str(k)] for k in range(classes + 1)},
                "training": items[:4], "validation": items[4:6], "test": items[6:]}  # fmt: skip
    (folder / "datalist.json").write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module", params=BUNDLES, ids=lambda path: path.name)
def bundle(request: pytest.FixtureRequest) -> Path:
    """One bundle folder."""
    folder = request.param
    assert isinstance(folder, Path)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey pictures, one class, PNG and DICOM."""
    return write_site(tmp_path_factory.mktemp("grey"), 1, False, (".png", ".dcm"))


@pytest.fixture(scope="module")
def colour_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Colour pictures, two nested classes, PNG and JPEG."""
    return write_site(tmp_path_factory.mktemp("colour"), 2, True, (".png", ".jpg"))
