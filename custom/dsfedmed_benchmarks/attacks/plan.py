# SPDX-License-Identifier: Apache-2.0
"""Who is in which branch: random halves for shadow branches, and canaries among the images of a site.

A canary is a picture of another patient with the mask of a third one, put into the training part so many times. Which
picture goes with which mask is drawn at random, so that without memory every picture of the pool is as likely as any
other, and the rank of the true one is uniform: chance is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dsfedmed.generator.fit import MaskedImages
from dsfedmed.seeds import derive_seed, generator


@dataclass(frozen=True)
class Canaries:
    """Planted pairs.

    Attributes:
        pictures: int64 (c,), index of each canary's picture in the pool.
        masks: int64 (c,), index of its mask in the pool.
        copies: how often each is planted, 1 or more.
    """

    pictures: Tensor
    masks: Tensor
    copies: tuple[int, ...]

    def planted(self, pool: MaskedImages) -> MaskedImages:
        """Return the pairs to plant, copies and all."""
        times = torch.tensor(self.copies)
        images = pool.images[self.pictures].repeat_interleave(times, dim=0)
        return MaskedImages(images, pool.channels[self.masks].repeat_interleave(times, dim=0))

    def candidates(self, pool: int) -> Tensor:
        """Return int64 indices of the pictures that were not planted, ascending."""
        kept = torch.ones(pool, dtype=torch.bool)
        kept[self.pictures] = False
        return kept.nonzero().flatten()


def draw_canaries(pool: int, copies: Sequence[int], seed: int) -> Canaries:
    """Draw one canary for each entry of ``copies``: pictures and masks, no image of the pool twice.

    Raises:
        ValueError: the pool has fewer than twice as many images as there are canaries.
    """
    count = len(copies)
    if 2 * count > pool:
        raise ValueError(f"{count} canaries need {2 * count} images, and the pool has {pool}")
    order = torch.randperm(pool, generator=generator(derive_seed(seed, "canaries")))
    return Canaries(order[:count], order[count : 2 * count], tuple(copies))


def balanced_halves(images: int, shadows: int, seed: int) -> Tensor:
    """Return bool (shadows, images): each image is in half of the shadows, drawn at random (LiRA, section V).

    Raises:
        ValueError: the number of shadows is not even and above 0.
    """
    if shadows < 2 or shadows % 2:
        raise ValueError(f"{shadows} shadows cannot be halved")
    order = torch.rand(shadows, images, generator=generator(derive_seed(seed, "halves"))).argsort(dim=0)
    return order < shadows // 2


def draw_few(images: int, count: int, seed: int) -> Tensor:
    """Return bool (images,) with ``count`` true at random."""
    chosen = torch.zeros(images, dtype=torch.bool)
    chosen[torch.randperm(images, generator=generator(derive_seed(seed, "few")))[:count]] = True
    return chosen
