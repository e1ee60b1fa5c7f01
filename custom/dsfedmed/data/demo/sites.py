# SPDX-License-Identifier: Apache-2.0
"""Made-up sites: speckled grey scans with lesion-like blobs, seen through a different device at each site.

Every image is a tissue map (wavy layers, smooth echo variation) with one irregular lesion, labelled, and with what
else lies about in a scan and is not: tubes as dark as the lesion, round cysts with a bright rim, shadows, bright
specks. Lesions are mostly darker than their surroundings, but the grey values of lesion, cysts, tubes and shadows
overlap, so a threshold does not find them. The device then adds its speckle, blur, depth gain, contrast curve and
noise. Devices differ by site and drift a little from image to image; that of ``site_d`` lies outside the others.

No patient, no scanner: figures reached here say that a method runs, not how well it does on scans.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from dsfedmed.data.demo.scene import Field, grid, outline, smooth_field, soft, speckle, tube
from dsfedmed.errors import DataError, StoreError
from dsfedmed.seeds import derive_seed

SITES = ("site_a", "site_b", "site_c", "site_d")


@dataclass(frozen=True)
class Device:
    """How a site's scanner draws tissue.

    contrast: lesion echo against its surroundings (log units; negative is darker). bright_share: share of lesions that
    are brighter instead. grain: speckle size (x, y) in pixels. speckle_power: 0 none, 1 fully developed. blur: in
    pixels. gamma: exponent of the contrast curve. gain: brightness factor. depth_gain: change of gain from top to
    bottom (log units). noise: standard deviation of additive noise, image range 1. clutter: mean number of distractors.
    """

    contrast: float
    bright_share: float
    grain: tuple[float, float]
    speckle_power: float
    blur: float
    gamma: float
    gain: float
    depth_gain: float
    noise: float
    clutter: float


DEVICES = {
    "site_a": Device(-0.95, 0.0, (0.8, 0.5), 0.45, 0.5, 0.8, 1.0, 0.0, 0.02, 2.0),
    "site_b": Device(-0.9, 0.0, (1.1, 0.6), 0.5, 0.6, 1.0, 1.15, -0.5, 0.03, 2.0),
    "site_c": Device(-0.9, 0.05, (0.6, 0.6), 0.5, 0.6, 1.2, 1.1, 0.4, 0.05, 2.0),
    "site_d": Device(-0.9, 0.1, (1.4, 0.8), 0.5, 0.8, 0.65, 1.1, 0.6, 0.05, 2.5),
}


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
        write_datalist(folder, site, "made-up scans with one lesion each", "made-up ultrasound", "lesion", parts)
        folders.append(folder)
    return folders


def draw_device(seed: int, site: str) -> Device:
    """Return a device for a site of any other name, about the range of ``site_a`` to ``site_c``."""
    rng = np.random.default_rng(derive_seed(seed, "device", site))
    return Device(
        contrast=-rng.uniform(0.75, 1.0),
        bright_share=rng.uniform(0.0, 0.1),
        grain=(rng.uniform(0.6, 1.4), rng.uniform(0.5, 0.8)),
        speckle_power=rng.uniform(0.4, 0.6),
        blur=rng.uniform(0.4, 0.8),
        gamma=rng.uniform(0.7, 1.3),
        gain=rng.uniform(0.95, 1.2),
        depth_gain=rng.uniform(-0.6, 0.6),
        noise=rng.uniform(0.02, 0.06),
        clutter=rng.uniform(1.5, 3.0),
    )


def draw_scan(rng: np.random.Generator, size: tuple[int, int], device: Device) -> tuple[Field, Field]:
    """Draw one scan: (X, Y) in [0, 1] and its label (X, Y) in {0, 1}."""
    echo = _tissue(rng, size)
    short = min(size)
    radius = short * rng.uniform(0.11, 0.27)
    centre = (rng.uniform(0.22, 0.78) * size[0], rng.uniform(0.25, 0.75) * size[1])
    depth = outline(rng, size, centre, radius, aspect=rng.uniform(1.0, 1.9), roughness=rng.uniform(0.05, 0.22))
    for _ in range(rng.poisson(device.clutter)):
        echo = _distractor(rng, size, echo, device.contrast)
    contrast = -device.contrast * 0.8 if rng.random() < device.bright_share else device.contrast
    body = soft(depth, rng.uniform(0.1, 0.4))
    inside = contrast * rng.uniform(0.75, 1.2) + rng.uniform(0.12, 0.3) * smooth_field(rng, size, 2.0)
    level = float((echo * (depth > -0.4)).sum() / (depth > -0.4).sum())
    echo = echo * (1.0 - body) + (level + inside) * body
    echo = echo + _shadow(size, centre, radius, rng.uniform(-0.5, 0.25))
    return _scan(rng, size, echo, device), (depth > 0).astype(np.float64)


def _tissue(rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """Log echo of layered tissue, about -0.8 to 0.8."""
    x, y = grid(size)
    wave = 3.0 * smooth_field(rng, (size[0], 1), (12.0, 0.0)) + 0.05 * rng.standard_normal() * (x - x.mean())
    layers = np.sin(2.0 * np.pi * (y + wave) / rng.uniform(18.0, 40.0) + rng.uniform(0.0, 6.0))
    return np.asarray(0.3 * layers + 0.22 * smooth_field(rng, size, (7.0, 4.0)))


def _distractor(rng: np.random.Generator, size: tuple[int, int], echo: Field, contrast: float) -> Field:
    """Add a tube, a rimmed cyst, a shadow from the surface or bright specks; none of them is labelled."""
    kind = rng.integers(4)
    if kind == 0:
        mask = soft(tube(rng, size, rng.uniform(1.2, 2.6)), 1.5)
        return np.asarray(echo * (1 - mask) + contrast * rng.uniform(0.8, 1.2) * mask)
    centre = (rng.uniform(0.1, 0.9) * size[0], rng.uniform(0.1, 0.9) * size[1])
    if kind == 1:
        depth = outline(rng, size, centre, rng.uniform(3.0, 7.0), aspect=rng.uniform(1.0, 1.25))
        rim = np.exp(-((depth + 0.1) ** 2) / 0.02)
        mask = soft(depth, 0.1)
        return np.asarray(echo * (1 - mask) + 1.25 * contrast * mask + 0.8 * rim)
    if kind == 2:
        return np.asarray(echo + _shadow(size, (centre[0], -4.0), rng.uniform(3.0, 7.0), contrast * 0.7))
    specks = soft(smooth_field(rng, size, 0.8) - 2.6, 0.4)
    return np.asarray(echo + 1.2 * specks)


def _shadow(size: tuple[int, int], centre: tuple[float, float], radius: float, strength: float) -> Field:
    """Return a darker (or brighter) column below ``centre``."""
    x, y = grid(size)
    across = np.exp(-(((x - centre[0]) / (0.8 * radius)) ** 2))
    return np.asarray(strength * across * soft(y - centre[1] - radius, 4.0))


def _scan(rng: np.random.Generator, size: tuple[int, int], echo: Field, device: Device) -> Field:
    """Turn log echo into what the device shows, 0..1."""
    drift = rng.normal(0.0, 0.1, 3)
    amplitude = np.exp(echo) * speckle(rng, size, device.grain) ** device.speckle_power
    amplitude = gaussian_filter(amplitude, device.blur)
    _, y = grid(size)
    amplitude *= 0.32 * device.gain * np.exp(drift[0] + (device.depth_gain + drift[1]) * (y / size[1] - 0.5))
    shown = np.clip(amplitude, 0.0, None) ** (device.gamma * np.exp(drift[2]))
    return np.asarray(np.clip(shown + device.noise * rng.standard_normal(size), 0.0, 1.0))


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
        "labels": {"0": "background", "1": label},
        "numTraining": len(parts["training"]),
        "numTest": len(parts["test"]),
        **parts,
    }
    (folder / "datalist.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
