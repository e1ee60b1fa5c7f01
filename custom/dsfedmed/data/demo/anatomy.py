# SPDX-License-Identifier: Apache-2.0
"""What lies in a made-up image before any device shows it: lesions, holes, vessels and layered tissue.

The same at every site: a lesion with an irregular outline, two of them in some images, labelled; and what is not
labelled: *holes*, round and as far from the tissue's level as a lesion, on the other side; vessels, on the lesion's
side and half as far. Whether a lesion is the bright or the dark one of the two, the anatomy does not say: the device
does. So what one site learns to call a lesion another site shows as a hole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsfedmed.data.demo.scene import Field, grid, outline, smooth_field, soft, tube

SECOND_SHARE = 0.3
"""Share of images with a second lesion, where there is room for it."""
TRIES = 8
"""Places tried for it."""
HOLES, VESSELS = 2.0, 0.7
"""Mean number in an image."""


@dataclass(frozen=True)
class Anatomy:
    """Maps (X, Y) of what is where.

    Attributes:
        label: 1 in a lesion, 0 elsewhere.
        lesions: how much lesion, 0 to about 1.3: 1 on average inside, uneven, with a soft edge.
        holes: how much hole, 0..1, none where there is lesion.
        vessels: how much vessel, 0..1, none where there is lesion or hole.
        layers: tissue, of zero mean and unit variance: wavy layers and slow changes.
    """

    label: Field
    lesions: Field
    holes: Field
    vessels: Field
    layers: Field


def draw_anatomy(rng: np.random.Generator, size: tuple[int, int]) -> Anatomy:
    """Draw the anatomy of one image of ``size`` (X, Y) pixels."""
    depth, edge = _lesions(rng, size), rng.uniform(0.1, 0.35)
    lesions = soft(depth, edge)
    holes = np.zeros(size)
    for _ in range(rng.poisson(HOLES)):
        centre = (rng.uniform(0.05, 0.95) * size[0], rng.uniform(0.05, 0.95) * size[1])
        radius = min(size) * rng.uniform(0.06, 0.16)
        hole = outline(rng, size, centre, radius, aspect=rng.uniform(1.0, 1.6), roughness=rng.uniform(0.0, 0.15))
        holes = np.maximum(holes, soft(hole, 0.25))
    vessels = np.zeros(size)
    for _ in range(rng.poisson(VESSELS)):
        vessels = np.maximum(vessels, soft(tube(rng, size, rng.uniform(1.0, 2.2)), 1.5))
    uneven = rng.uniform(0.85, 1.15) + 0.12 * smooth_field(rng, size, 2.0)
    return Anatomy(
        label=(depth > 0).astype(np.float64),
        lesions=np.asarray(lesions * np.clip(uneven, 0.0, None)),
        holes=np.asarray(holes * (1.0 - lesions)),
        vessels=np.asarray(vessels * (1.0 - lesions) * (1.0 - holes)),
        layers=_layers(rng, size),
    )


def _lesions(rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """Return the depth inside one or two lesions, in radii, positive inside."""
    first, radius = _place(rng, size), min(size) * rng.uniform(0.12, 0.26)
    depth = _lesion(rng, size, first, radius)
    if rng.random() >= SECOND_SHARE:
        return depth
    smaller = min(size) * rng.uniform(0.09, 0.16)
    for _ in range(TRIES):
        second = _place(rng, size)
        if np.hypot(second[0] - first[0], second[1] - first[1]) > 1.5 * (radius + smaller):
            return np.maximum(depth, _lesion(rng, size, second, smaller))
    return depth


def _place(rng: np.random.Generator, size: tuple[int, int]) -> tuple[float, float]:
    """Return a point away from the borders, in pixels."""
    return rng.uniform(0.2, 0.8) * size[0], rng.uniform(0.2, 0.8) * size[1]


def _lesion(rng: np.random.Generator, size: tuple[int, int], centre: tuple[float, float], radius: float) -> Field:
    """Return the depth inside one round to longish, irregular outline."""
    return outline(rng, size, centre, radius, aspect=rng.uniform(1.0, 1.8), roughness=rng.uniform(0.05, 0.22))


def _layers(rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """Return layered tissue of zero mean and unit variance."""
    x, y = grid(size)
    wave = 3.0 * smooth_field(rng, (size[0], 1), (12.0, 0.0)) + 0.05 * rng.standard_normal() * (x - x.mean())
    layers = np.sin(2.0 * np.pi * (y + wave) / rng.uniform(18.0, 40.0) + rng.uniform(0.0, 6.0))
    field = layers + smooth_field(rng, size, (7.0, 4.0))
    return np.asarray((field - field.mean()) / (field.std() + 1e-12))
