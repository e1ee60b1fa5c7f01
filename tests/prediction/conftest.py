# SPDX-License-Identifier: Apache-2.0
"""Two tiny releases with random weights, and a folder of images of every kind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.bundles.release import write_release
from dsfedmed.data.facts import FederationFacts
from dsfedmed.prediction.predictor import Predictor, load
from tests.data.conftest import make_site  # noqa: F401 (a fixture)
from tests.data.files.making import dicom, nifti, series

BUNDLE = Path(__file__).parents[2] / "bundles" / "light_unet_segmentation"
GREY = FederationFacts(channels=1, num_classes=1, label_names=("lesion",), nested=True)
COLOUR = FederationFacts(channels=3, num_classes=2, label_names=("cell", "nucleus"), nested=True)
TURNED = np.array([[-0.8, 0, 0, 10], [0, -0.5, 0, 20], [0, 0, -3.0, 30], [0, 0, 0, 1]])
"""A volume stored left, posterior, inferior; voxels of 0.8 x 0.5 x 3 mm."""


def picture(rows: int, columns: int, seed: int = 0, channels: int = 0) -> np.ndarray:
    """Return smooth spots, uint8 (rows, columns[, channels]), in which a random network finds something and not all."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, channels or 1), dtype=np.uint8)
    planes = [
        np.asarray(Image.fromarray(coarse[..., c]).resize((columns, rows), Image.Resampling.BICUBIC))
        for c in range(channels or 1)
    ]
    return np.stack(planes, axis=-1) if channels else planes[0]


def release(folder: Path, facts: FederationFacts) -> Path:
    """Write a release whose last bias is set so that class 1 takes about half of a picture, class 2 a quarter."""
    settings = {"image_size": [16, 16], "channels": [4, 4, 4, 4]}
    shape = {"in_channels": facts.channels, "num_classes": facts.num_classes}
    network = BundleDefinition(BUNDLE, {**settings, **shape}).network(seed=3).eval()
    seen = torch.from_numpy(picture(16, 16, 0, facts.channels).T[None].copy()).float() / 255
    *_, bias = (value for key, value in network.named_parameters() if key.endswith("bias"))
    with torch.no_grad():
        logits = network(seen)[0].flatten(1)
        bias -= torch.stack([torch.quantile(plane, 1 - 0.5 ** (k + 1)) for k, plane in enumerate(logits)])
    return write_release(BUNDLE, folder, network.state_dict(), settings, facts, {})


@pytest.fixture(scope="session")
def grey_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a release for grey images and one class."""
    run = tmp_path_factory.mktemp("run")
    release(run / "release", GREY)
    return run


@pytest.fixture(scope="session")
def colour_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release for RGB images and two nested classes."""
    return release(tmp_path_factory.mktemp("colour") / "release", COLOUR)


@pytest.fixture(scope="session")
def grey_model(grey_run: Path) -> Predictor:
    """The grey release, loaded."""
    return load(grey_run)


@pytest.fixture(scope="session")
def colour_model(colour_release: Path) -> Predictor:
    """The colour release, loaded."""
    return load(colour_release)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One image of every kind, in one folder: pictures, an array, flat and deep NIfTI, a clip, a DICOM series."""
    folder = tmp_path_factory.mktemp("images")
    Image.fromarray(picture(30, 44)).save(folder / "wide.png")
    turned = Image.fromarray(picture(20, 33, 1))
    exif = turned.getexif()
    exif[274] = 6  # stored lying on its side
    turned.save(folder / "photo.jpg", exif=exif)
    np.save(folder / "array.npy", picture(25, 19, 2))
    nifti(folder / "flat.nii.gz", picture(22, 28, 3).T, np.diag([-0.5, 0.5, 2.0, 1.0]))
    nifti(folder / "volume.nii.gz", np.stack([picture(21, 18, seed).T for seed in range(4, 8)], -1), TURNED)
    clip = np.stack([picture(17, 23, seed) for seed in range(8, 11)])
    dicom(folder / "clip.dcm", clip)
    series(folder / "scan", np.stack([picture(24, 26, seed) for seed in range(11, 15)]))
    return folder


def edited(folder: Path, name: str, change: dict[str, object]) -> Path:
    """Change keys of one configuration of a copied release."""
    path = folder / "configs" / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    return folder
