# SPDX-License-Identifier: Apache-2.0
"""Made-up sites: one anatomy, shown by a different device at each site.

Every image holds one or two lesions, labelled, and what else lies about and is not (``anatomy``). The devices
(``device``) contradict each other: lesions are bright on dark at one site and dark on bright at another, where what is
bright is no lesion. One network can learn all of it from all images; networks that each saw one site disagree, so that
averaging their weights gives little in the first rounds, as between real hospitals.

No patient, no scanner: figures reached here say that a method runs, not how well it does on scans.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dsfedmed.data.demo.anatomy import draw_anatomy
from dsfedmed.data.demo.device import DEVICES, Device, draw_device, show
from dsfedmed.data.demo.names import SITES
from dsfedmed.data.demo.scene import Field
from dsfedmed.errors import DataError, StoreError
from dsfedmed.seeds import derive_seed


def make_demo_sites(
    out: str | Path,
    seed: int = 0,
    sites: Sequence[str] = SITES,
    training: int = 48,
    validation: int = 12,
    test: int = 24,
    size: tuple[int, int] = (80, 64),
) -> list[Path]:
    """Write one folder per site with 8-bit PNG images and labels and a ``datalist.json``.

    Each image depends on the seed, its site, part and number alone, so more images can be asked for without changing
    the others. Every third image is a tenth narrower than ``size``.

    Args:
        out: the folder that gets the site folders.
        seed: of all images.
        sites: names; a name that is not in ``SITES`` gets a device of its own, drawn from the seed and the name.
        training: number of training images per site.
        validation: number of validation images per site.
        test: number of test images per site.
        size: (x, y) in pixels.

    Returns:
        The site folders.

    Raises:
        DataError: when sizes or counts are out of range.
        StoreError: when the disk cannot be written.
    """
    if min(size) < 32 or min(training, validation, test) < 0 or training + validation + test < 1:
        raise DataError("demo sites", f"{training}/{validation}/{test} images of {size}", "Use at least 32 x 32.")
    folders = []
    for site in sites:
        device = DEVICES.get(site) or draw_device(seed, site)
        parts: dict[str, list[dict[str, str]]] = {}
        folder = Path(out) / site
        for part, count in (("training", training), ("validation", validation), ("test", test)):
            parts[part] = []
            for number in range(count):
                rng = np.random.default_rng(derive_seed(seed, site, part, number))
                width = size[0] - size[0] // 10 if number % 3 == 2 else size[0]
                image, label = draw_scan(rng, (width, size[1]), device)
                parts[part].append(save_pair(folder, f"{part}_{number:04d}", image, label))
        write_datalist(folder, site, "made-up scans with one or two lesions", "made-up", "lesion", parts)
        folders.append(folder)
    return folders


def draw_scan(rng: np.random.Generator, size: tuple[int, int], device: Device) -> tuple[Field, Field]:
    """Draw one image: (X, Y) in [0, 1] and its label (X, Y) in {0, 1}; the label does not depend on the device."""
    anatomy = draw_anatomy(rng, size)
    return show(rng, anatomy, device), anatomy.label


def save_pair(folder: Path, name: str, image: Field, label: Field) -> dict[str, str]:
    """Write image (X, Y) or (X, Y, 3) in [0, 1] and label (X, Y) as 8-bit PNG; return their datalist item.

    Raises:
        StoreError: when the disk cannot be written.
    """
    item = {"image": f"images/{name}.png", "label": f"labels/{name}.png", "case": name}
    arrays = {"image": np.rint(image * 255.0), "label": label}
    for key, array in arrays.items():
        path = folder / item[key]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.swapaxes(array, 0, 1).astype(np.uint8)).save(path)
        except OSError as error:
            raise StoreError(path, f"it cannot be written ({error.strerror})", "Free space or name another.") from error
    return item


def write_datalist(
    folder: Path, name: str, description: str, modality: str, label: str, parts: dict[str, list[dict[str, str]]]
) -> None:
    """Write the ``datalist.json`` of a made-up folder with one foreground class."""
    document: dict[str, Any] = {
        "name": name,
        "description": description,
        "modality": {"0": modality},
        "made_up": True,
        "labels": {"0": "background", "1": label},
        "numTraining": len(parts["training"]),
        "numTest": len(parts["test"]),
        **parts,
    }
    (folder / "datalist.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
