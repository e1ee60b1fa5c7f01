# SPDX-License-Identifier: Apache-2.0
"""Made-up devices: how a site shows an anatomy.

Three manners, which contradict each other. ``site_a``: bright objects on a dark ground, little noise, as fluorescence
or CT. ``site_b``: dark objects on a bright, textured ground, as a stained section. ``site_c``: dark objects of low
contrast, blurred, speckled and lit unevenly, as ultrasound. ``site_d``, the one to keep unseen, has the first's
contrast behind the third's blur and speckle, and a contrast curve of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter

from dsfedmed.data.demo.anatomy import Anatomy
from dsfedmed.data.demo.scene import Field, grid, smooth_field, speckle
from dsfedmed.seeds import derive_seed

DRIFT = 0.08
"""Standard deviation of what changes from image to image of one device, in natural-log units."""


@dataclass(frozen=True)
class Device:
    """How a site's device shows an anatomy. Levels are of the image range, 0 black to 1 white.

    Attributes:
        background: mean level of the tissue, 0..1.
        contrast: level of a lesion less that of the tissue, -1..1: positive is bright on dark, negative dark on bright.
            A hole lies as far on the other side, as long as that is in the image range.
        layers: standard deviation of the tissue's layers, 0 or more.
        texture: standard deviation of a fine texture of the whole image, 0 or more.
        texture_sigma: size of that texture, in pixels.
        speckle: power of the multiplicative speckle: 0 none, 1 fully developed.
        grain: size of the speckle (x, y), in pixels.
        blur: standard deviation of the blur, in pixels.
        gradient: change of brightness from left to right, in natural-log units.
        gamma: exponent of the contrast curve, above 0; above 1 darkens.
        noise: standard deviation of the noise added last.
    """

    background: float
    contrast: float
    layers: float
    texture: float
    texture_sigma: float
    speckle: float
    grain: tuple[float, float]
    blur: float
    gradient: float
    gamma: float
    noise: float


DEVICES = {
    "site_a": Device(
        background=0.28,
        contrast=0.42,
        layers=0.05,
        texture=0.02,
        texture_sigma=2.0,
        speckle=0.0,
        grain=(0.8, 0.6),
        blur=0.5,
        gradient=0.0,
        gamma=1.0,
        noise=0.05,
    ),
    "site_b": Device(
        background=0.72,
        contrast=-0.36,
        layers=0.05,
        texture=0.1,
        texture_sigma=1.2,
        speckle=0.0,
        grain=(0.8, 0.6),
        blur=0.4,
        gradient=0.0,
        gamma=1.0,
        noise=0.03,
    ),
    "site_c": Device(
        background=0.45,
        contrast=-0.16,
        layers=0.03,
        texture=0.0,
        texture_sigma=1.0,
        speckle=0.6,
        grain=(1.1, 0.7),
        blur=1.1,
        gradient=0.7,
        gamma=1.0,
        noise=0.02,
    ),
    "site_d": Device(
        background=0.28,
        contrast=0.42,
        layers=0.05,
        texture=0.02,
        texture_sigma=2.0,
        speckle=0.5,
        grain=(1.1, 0.7),
        blur=1.1,
        gradient=0.3,
        gamma=0.75,
        noise=0.03,
    ),
}
MANNERS = ("site_a", "site_b", "site_c")
"""Devices that a site of any other name gets one like."""


def draw_device(seed: int, site: str) -> Device:
    """Return a device for a site of any other name: like one of the three manners, a little off."""
    rng = np.random.default_rng(derive_seed(seed, "device", site))
    like = DEVICES[MANNERS[rng.integers(len(MANNERS))]]
    return replace(
        like,
        background=like.background + rng.uniform(-0.04, 0.04),
        contrast=like.contrast * rng.uniform(0.85, 1.15),
        blur=like.blur * rng.uniform(0.8, 1.3),
        gradient=like.gradient + rng.uniform(-0.2, 0.2),
        gamma=rng.uniform(0.85, 1.2),
        noise=like.noise * rng.uniform(0.8, 1.3),
    )


def show(rng: np.random.Generator, anatomy: Anatomy, device: Device) -> Field:
    """Return what the device shows of an anatomy: (X, Y) in [0, 1]. It drifts a little from image to image."""
    size = anatomy.label.shape[0], anatomy.label.shape[1]
    brightness, strength, tilt, curve = rng.normal(0.0, DRIFT, 4)
    objects = anatomy.lesions - anatomy.holes + 0.5 * anatomy.vessels
    level = device.background + device.contrast * np.exp(strength) * objects + device.layers * anatomy.layers
    level = level + device.texture * smooth_field(rng, size, device.texture_sigma)
    level = np.clip(level, 0.0, None) * speckle(rng, size, device.grain) ** device.speckle
    x, _ = grid(size)
    light = np.exp(brightness + (device.gradient + tilt) * (x / size[0] - 0.5))
    seen = np.clip(gaussian_filter(level, device.blur) * light, 0.0, 1.0) ** (device.gamma * np.exp(curve))
    return np.asarray(np.clip(seen + device.noise * rng.standard_normal(size), 0.0, 1.0))
