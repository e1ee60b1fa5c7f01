# SPDX-License-Identifier: Apache-2.0
"""Skin tone of a dermoscopic picture as individual typology angle (ITA).

ITA = arctan((L* - 50) / b*) in degrees, with CIELAB under D65 (Chardon et al., Int J Cosmet Sci 1991): above 55 is very
light skin, below -30 dark. Kinyanjui et al. (MICCAI 2020) measure it on the skin beside the lesions of ISIC, as here.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

WHITE_D65 = np.array([0.95047, 1.0, 1.08883])
SRGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
RING = (0.015, 0.12)  # of the longer side: nearer is blurred border, farther is another light
DARKEST = 15.0  # L* of the black around the lens and of thick hair
FEWEST_PIXELS = 50


def to_lab(rgb: np.ndarray) -> np.ndarray:
    """Convert sRGB (..., 3) in [0, 1] to CIELAB (..., 3) under D65 (IEC 61966-2-1, CIE 15)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    ratio = linear @ SRGB_TO_XYZ.T / WHITE_D65
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def typology_angle(rgb: np.ndarray, lesion: np.ndarray) -> float | None:
    """Return the ITA of the skin in a ring around the lesion, in degrees, from the medians of L* and b*.

    Args:
        rgb: (rows, columns, 3) in [0, 1].
        lesion: (rows, columns) bool.

    Returns:
        The angle in (-90, 90], or None where fewer than 50 pixels of skin can be seen.
    """
    distance = distance_transform_edt(~lesion) / max(lesion.shape) if lesion.any() else np.full(lesion.shape, RING[0])
    lab = to_lab(rgb)
    skin = lab[(distance >= RING[0]) & (distance <= RING[1]) & (lab[..., 0] >= DARKEST)]
    if len(skin) < FEWEST_PIXELS:
        return None
    lightness, _, yellow = np.median(skin, axis=0)
    return float(np.degrees(np.arctan2(lightness - 50.0, max(yellow, 1e-6))))
