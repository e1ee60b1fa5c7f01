# SPDX-License-Identifier: Apache-2.0
"""Shuffled, augmented training batches from arrays in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from monai.data import set_track_meta
from monai.data.meta_obj import get_track_meta
from monai.transforms import Compose, MapTransform, Randomizable
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dsfedmed.data.arrays import plain
from dsfedmed.errors import ConfigError
from dsfedmed.seeds import derive_seed, generator

SOFT = "soft"


def augmented_batches(
    images: Tensor,
    label_maps: Tensor,
    augmentation: Any | None,
    batch_size: int,
    seed: int,
    extra: Tensor | None = None,
    workers: int = 0,
) -> Iterator[dict[str, Tensor]]:
    """Yield one epoch in random order, each sample augmented on its own.

    Order and augmentation depend on ``seed`` only, however many workers there are; give another seed per epoch.

    Args:
        images: (N, C, X, Y) float32 in [0, 1].
        label_maps: (N, 1, X, Y) uint8.
        augmentation: a MONAI dict transform over "image", "label" (and "soft"), or None.
        batch_size: samples per batch; the last batch may be smaller.
        seed: of this epoch.
        extra: (N, K, X, Y) float soft targets that move with the image, under the key "soft".
        workers: processes that augment ahead of the network; with 0 it is done here, between two steps.

    Yields:
        {"image", "label"[, "soft"]}: plain tensors of the types above.

    Raises:
        ConfigError: when soft targets are given and a transform would move the label but not them.
    """
    if augmentation is not None and extra is not None:
        require_soft(augmentation)
    arrays = {"image": images, "label": label_maps} | ({} if extra is None else {SOFT: extra})
    order = torch.randperm(len(images), generator=generator(derive_seed(seed, "order")))
    if augmentation is None:
        for chosen in order.split(batch_size):
            yield {key: value[chosen] for key, value in arrays.items()}
        return
    yield from DataLoader(
        _AugmentedSamples(arrays, order.tolist(), augmentation, seed),
        batch_size,
        num_workers=workers,
        generator=generator(seed),  # else it would draw from torch's global state, which is the network's
    )


@dataclass(frozen=True)
class _AugmentedSamples(Dataset[dict[str, Tensor]]):
    """An epoch's samples in its order; each draws from a seed of its own, so that any worker may take it."""

    arrays: dict[str, Tensor]
    order: list[int]
    augmentation: Any
    seed: int

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        if isinstance(self.augmentation, Randomizable):
            self.augmentation.set_random_state(seed=derive_seed(self.seed, "augmentation", position))
        chosen = {key: value[self.order[position]] for key, value in self.arrays.items()}
        sample = _without_metadata(self.augmentation, chosen)
        return {key: plain(sample[key]).to(value.dtype) for key, value in chosen.items()}


def _without_metadata(augmentation: Any, sample: dict[str, Tensor]) -> dict[str, Any]:
    """Transform without MONAI's metadata: it costs time and is of no use here."""
    tracked = get_track_meta()
    set_track_meta(False)
    try:
        return dict(augmentation(sample))
    finally:
        set_track_meta(tracked)


def require_soft(augmentation: Any) -> None:
    """Raise ConfigError when a transform names "label" and not "soft": soft targets must stay in register."""
    transforms = augmentation.flatten().transforms if isinstance(augmentation, Compose) else (augmentation,)
    for transform in transforms:
        if isinstance(transform, MapTransform) and "label" in transform.keys and SOFT not in transform.keys:
            raise ConfigError(
                type(transform).__name__,
                'it transforms "label" and not "soft", so soft targets would no longer fit the image',
                'Give it keys ["image", "label", "soft"] and allow_missing_keys true.',
            )
