# SPDX-License-Identifier: Apache-2.0
"""A random synthetic set of any size: smooth shades, structures, speckle and fine noise, with lesion-like labels.

Constant images would compress to nothing. These have detail at every scale and noise of about two grey levels, as what
a diffusion model decodes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dsfedmed.data.demo.scene import outline, smooth_field, soft, speckle
from dsfedmed.data.manifest import Manifest
from dsfedmed.data.synthetic import write_shards

NOISE = 2.0
DISTINCT = 16


def random_labels(count: int, image_size: int, seed: int) -> Tensor:
    """Return label maps, uint8 (count, 1, S, S), of one rough outline each."""
    rng = np.random.default_rng(seed)
    labels = torch.empty((count, 1, image_size, image_size), dtype=torch.uint8)
    for index in range(count):
        labels[index, 0] = torch.from_numpy((_lesion(rng, image_size) > 0).astype(np.uint8))
    return labels


def random_pair(image_size: int, channels: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return an image, uint8 (C, S, S), and its label map, uint8 (1, S, S)."""
    rng = np.random.default_rng(seed)
    size = (image_size, image_size)
    depth = _lesion(rng, image_size)
    shade = smooth_field(rng, size, image_size / 6)
    structure = smooth_field(rng, size, image_size / 40)
    grain = speckle(rng, size, (1.5, 1.0)) - 1.0
    base = 110 + 25 * shade + 15 * structure + 14 * grain - 45 * soft(depth, 0.2)
    planes = [base + 6 * smooth_field(rng, size, image_size / 10) + NOISE * rng.standard_normal(size)]
    planes += [0.9 * base + 6 * shade + NOISE * rng.standard_normal(size) for _ in range(channels - 1)]
    image = np.clip(np.rint(np.stack(planes)), 0, 255).astype(np.uint8)
    return torch.from_numpy(image), torch.from_numpy((depth > 0).astype(np.uint8))[None]


def write_random_set(
    folder: Path, sites: list[str], per_site: int, image_size: int, channels: int, shard_size: int
) -> Manifest:
    """Write ``per_site`` pairs for each site as the shards of a synthetic set; `DISTINCT` ones, rolled about."""
    drawn = [random_pair(image_size, channels, seed) for seed in range(min(DISTINCT, per_site * len(sites)))]
    pairs = [_rolled(drawn[index % DISTINCT], index // DISTINCT) for index in range(per_site * len(sites))]
    images, labels = (torch.stack(parts) for parts in zip(*pairs, strict=True))
    origin = [site for site in sites for _ in range(per_site)]
    return write_shards(folder, images, labels, origin, shard_size)


def _rolled(pair: tuple[Tensor, Tensor], turn: int) -> tuple[Tensor, Tensor]:
    """Return the pair shifted around the edges: other bytes with the same statistics, drawn in no time."""
    shift = (37 * turn, 101 * turn)
    return pair[0].roll(shift, (1, 2)), pair[1].roll(shift, (1, 2))


def _lesion(rng: np.random.Generator, image_size: int) -> np.ndarray:
    centre = tuple(rng.uniform(0.3, 0.7, 2) * image_size)
    return outline(
        rng, (image_size, image_size), (centre[0], centre[1]), rng.uniform(0.1, 0.25) * image_size, 1.3, 0.15
    )
