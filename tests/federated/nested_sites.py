# SPDX-License-Identifier: Apache-2.0
"""Made-up colour sites with two nested classes (nucleus in cell), each in another file format and size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

FORMATS = {
    "site_a": ("png", (64, 48)),
    "site_b": ("tif", (40, 40)),
    "site_c": ("npy", (36, 52)),
    "site_d": ("jpg", (56, 40)),
}
COUNTS = {"training": 10, "validation": 9, "test": 3}


def make_nested_sites(folder: Path) -> Path:
    """Write the four sites; sizes are (width, height)."""
    for number, (site, (suffix, size)) in enumerate(FORMATS.items()):
        draws = np.random.default_rng(number)
        parts: dict[str, list[dict[str, str]]] = {part: [] for part in COUNTS}
        for part, count in COUNTS.items():
            for index in range(count):
                name = f"{part}{index}"
                image, label = _cell(draws, size)
                _save(folder / site / "images" / f"{name}.{suffix}", image)
                label_suffix = "npy" if suffix == "npy" else "png"
                _save(folder / site / "labels" / f"{name}.{label_suffix}", label)
                entry = {"image": f"images/{name}.{suffix}", "label": f"labels/{name}.{label_suffix}", "case": name}
                parts[part].append(entry)
        document = {"name": site, "labels": {"0": "background", "1": "cell", "2": "nucleus"}, **parts}
        (folder / site / "datalist.json").write_text(json.dumps(document))
    return folder


def _cell(draws: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A pink ellipse with a violet one inside, on pale ground: (H, W, 3) uint8 and its label map (H, W)."""
    width, height = size
    rows, columns = np.mgrid[:height, :width]
    row, column = draws.uniform(0.4, 0.6) * height, draws.uniform(0.4, 0.6) * width
    distance = ((rows - row) / (0.3 * height)) ** 2 + ((columns - column) / (0.3 * width)) ** 2
    label = (distance < 1).astype(np.uint8) + (distance < 0.3).astype(np.uint8)
    colours = np.array([[225, 215, 220], [220, 150, 190], [110, 60, 150]], dtype=float)
    image = colours[label] + draws.normal(0, 12, (height, width, 3))
    return image.clip(0, 255).astype(np.uint8), label


def _save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)
