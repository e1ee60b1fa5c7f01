# SPDX-License-Identifier: Apache-2.0
"""Building blocks of made-up images: smooth fields, speckle, outlines and soft masks on an (x, y) grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Field = NDArray[np.float64]


def grid(size: tuple[int, int]) -> tuple[Field, Field]:
    """Return x and y coordinates in pixels, each (X, Y)."""
    x, y = np.meshgrid(np.arange(size[0], dtype=np.float64), np.arange(size[1], dtype=np.float64), indexing="ij")
    return x, y


def smooth_field(rng: np.random.Generator, size: tuple[int, int], sigma: float | tuple[float, float]) -> Field:
    """Return smoothed white noise of zero mean and unit variance; ``sigma`` in pixels (x, y)."""
    field = gaussian_filter(rng.standard_normal(size), sigma, mode="reflect")
    return np.asarray((field - field.mean()) / (field.std() + 1e-12))


def speckle(rng: np.random.Generator, size: tuple[int, int], sigma: tuple[float, float]) -> Field:
    """Return fully developed speckle of mean 1: the Rayleigh amplitude of a smoothed complex Gaussian field."""
    real, imaginary = (gaussian_filter(rng.standard_normal(size), sigma, mode="reflect") for _ in range(2))
    amplitude = np.hypot(real, imaginary)
    return np.asarray(amplitude / amplitude.mean())


def outline(
    rng: np.random.Generator,
    size: tuple[int, int],
    centre: tuple[float, float],
    radius: float,
    aspect: float = 1.0,
    roughness: float = 0.0,
) -> Field:
    """Return the depth inside a star-shaped outline, in radii: positive inside, 0 on the outline, (X, Y).

    Args:
        rng: source of angle and harmonics.
        size: (X, Y) in pixels.
        centre: in pixels.
        radius: mean radius in pixels.
        aspect: long over short axis.
        roughness: standard deviation of the harmonics 2 to 7 together, relative to the radius.
    """
    x, y = grid(size)
    turn = rng.uniform(0.0, np.pi)
    dx, dy = x - centre[0], y - centre[1]
    u = (np.cos(turn) * dx + np.sin(turn) * dy) / (radius * np.sqrt(aspect))
    v = (-np.sin(turn) * dx + np.cos(turn) * dy) / (radius / np.sqrt(aspect))
    angle, edge = np.arctan2(v, u), np.ones(size)
    orders = np.arange(2, 8)
    amplitudes = rng.standard_normal(len(orders)) / orders
    amplitudes *= roughness / (np.linalg.norm(amplitudes) + 1e-12)
    for order, amplitude in zip(orders, amplitudes, strict=True):
        edge += amplitude * np.cos(order * angle + rng.uniform(0.0, 2.0 * np.pi))
    return np.asarray(np.maximum(edge, 0.3) - np.hypot(u, v))


def soft(depth: Field, width: float) -> Field:
    """Turn a depth (positive inside) into a mask 0..1 with an edge about ``width`` wide, in the depth's unit."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(4.0 * depth / max(width, 1e-6), -50.0, 50.0))))


def tube(rng: np.random.Generator, size: tuple[int, int], half_width: float) -> Field:
    """Return the depth inside a wavy, mostly horizontal tube across the image, in pixels."""
    x, y = grid(size)
    middle = rng.uniform(0.15, 0.9) * size[1] + rng.uniform(-0.35, 0.35) * (x - size[0] / 2)
    middle = middle + rng.uniform(1.0, 4.0) * np.sin(2.0 * np.pi * x / rng.uniform(40.0, 90.0) + rng.uniform(0.0, 6.0))
    return np.asarray(half_width - np.abs(y - middle))
