# SPDX-License-Identifier: Apache-2.0
"""Made-up public images to give a small teacher a foundation: labelled shapes that are not lesions.

Three folders of other shapes than the demo sites have, with other textures, in grey and in colour. The label is
class-agnostic: 1 is the object, whatever it is. They stand in for the public segmentation sets of other organs that
``dsfedmed pretrain-teacher`` takes in earnest.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsfedmed.data.demo.scene import Field, grid, outline, smooth_field, soft, tube
from dsfedmed.data.demo.sites import save_pair, write_datalist
from dsfedmed.errors import DataError
from dsfedmed.seeds import derive_seed

KINDS = ("polygons", "rings", "stars")
SIZES = ((80, 64), (64, 80), (72, 72), (96, 64))
VALIDATION_SHARE = 0.1


def make_public_shapes(out: str | Path, seed: int = 0, count: int = 600) -> list[Path]:
    """Write ``count`` images in all, spread over one folder per kind of shape.

    A tenth of each folder is validation, there is no test part. Image ``n`` of a kind depends on the seed, the kind
    and ``n`` alone. About half the images are grey, half RGB.

    Returns:
        The folders, each with a ``datalist.json``.

    Raises:
        DataError: when there is not one training and one validation image per kind.
        StoreError: when the disk cannot be written.
    """
    if count < 2 * len(KINDS):
        raise DataError("public shapes", f"{count} images are too few", f"Ask for {2 * len(KINDS)} or more.")
    folders = []
    for place, kind in enumerate(KINDS):
        total = count // len(KINDS) + (place < count % len(KINDS))
        held_out = max(1, round(total * VALIDATION_SHARE))
        folder = Path(out) / kind
        items = []
        for number in range(total):
            rng = np.random.default_rng(derive_seed(seed, "public", kind, number))
            image, label = draw_shape(rng, SIZES[rng.integers(len(SIZES))], kind)
            items.append(save_pair(folder, f"{kind}_{number:04d}", image, label))
        parts = {"training": items[held_out:], "validation": items[:held_out], "test": []}
        write_datalist(folder, f"public/{kind}", f"made-up {kind} on textures", "made-up", "object", parts)
        folders.append(folder)
    return folders


def draw_shape(rng: np.random.Generator, size: tuple[int, int], kind: str) -> tuple[Field, Field]:
    """Draw one image, (X, Y) or (X, Y, 3) in [0, 1], and its label (X, Y) in {0, 1}."""
    centre = (rng.uniform(0.3, 0.7) * size[0], rng.uniform(0.3, 0.7) * size[1])
    radius = min(size) * rng.uniform(0.15, 0.36)
    depth = _depth(rng, size, centre, radius, kind)
    mask = soft(depth, rng.uniform(0.05, 0.35))
    channels = 3 if rng.random() < 0.5 else 1
    ground, body, clutter = (_texture(rng, size, channels) for _ in range(3))
    share = rng.uniform(0.4, 1.0)  # how much of the object is its own appearance and not the ground's
    shift = rng.choice([-1.0, 1.0]) * rng.uniform(0.08, 0.3)
    for _ in range(rng.poisson(1.5)):
        stripe = 0.7 * soft(tube(rng, size, rng.uniform(1.0, 2.5)), 1.0)[..., None]
        ground = ground * (1 - stripe) + clutter * stripe
    inside = ground * (1 - share) + body * share + shift
    image = ground * (1 - mask[..., None]) + inside * mask[..., None]
    image = np.clip(image + rng.uniform(0.0, 0.05) * rng.standard_normal(image.shape), 0.0, 1.0)
    return (image if channels == 3 else image[..., 0]), (depth > 0).astype(np.float64)


def _depth(
    rng: np.random.Generator, size: tuple[int, int], centre: tuple[float, float], radius: float, kind: str
) -> Field:
    """Return the depth inside the shape, in radii, positive inside."""
    x, y = grid(size)
    if kind == "rings":
        disc = outline(rng, size, centre, radius, aspect=rng.uniform(1.0, 1.5))
        width = rng.uniform(0.25, 0.5)
        return np.asarray(np.minimum(disc, width - disc)) if rng.random() < 0.5 else disc
    dx, dy = (x - centre[0]) / radius, (y - centre[1]) / radius
    turn = rng.uniform(0.0, 2.0 * np.pi)
    if kind == "polygons":
        sides = int(rng.integers(3, 8))
        walls = turn + np.arange(sides) * 2.0 * np.pi / sides + rng.uniform(-0.2, 0.2, sides)
        reach = rng.uniform(0.6, 1.0, sides)
        return np.asarray(np.min([r - dx * np.cos(a) - dy * np.sin(a) for a, r in zip(walls, reach, strict=True)], 0))
    points = int(rng.integers(4, 8))
    edge = 0.75 + rng.uniform(0.15, 0.35) * np.cos(points * (np.arctan2(dy, dx) - turn))
    return np.asarray(edge - np.hypot(dx, dy))


def _texture(rng: np.random.Generator, size: tuple[int, int], channels: int) -> Field:
    """Return clouds, stripes, checks or a slope in a random colour, (X, Y, C), about 0.1 to 0.9."""
    x, y = grid(size)
    turn = rng.uniform(0.0, np.pi)
    along = np.cos(turn) * x + np.sin(turn) * y
    across = -np.sin(turn) * x + np.cos(turn) * y
    period = rng.uniform(5.0, 20.0)
    patterns = (
        lambda: 0.5 * smooth_field(rng, size, rng.uniform(0.8, 6.0)),
        lambda: np.sin(2.0 * np.pi * along / period),
        lambda: np.sign(np.sin(2.0 * np.pi * along / period) * np.sin(2.0 * np.pi * across / period)),
        lambda: (along - along.mean()) / (np.ptp(along) / 2),
    )
    pattern = patterns[rng.integers(len(patterns))]()
    colour = rng.uniform(0.25, 0.75, channels)
    return np.asarray(np.clip(colour + rng.uniform(0.03, 0.2) * pattern[..., None], 0.0, 1.0))
