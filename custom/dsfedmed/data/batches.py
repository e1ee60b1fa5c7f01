# SPDX-License-Identifier: Apache-2.0
"""Shuffled, augmented training batches from arrays in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from monai.data import set_track_meta
from monai.data.meta_obj import get_track_meta
from monai.transforms import Compose, MapTransform, Randomizable
from torch import Tensor

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
    drop_last: bool = False,
) -> Iterator[dict[str, Tensor]]:
    """Yield one epoch in random order, each sample augmented on its own.

    Order and augmentation depend on ``seed`` only; give another seed per epoch.

    Args:
        images: (N, C, X, Y) float32 in [0, 1].
        label_maps: (N, 1, X, Y) uint8.
        augmentation: a MONAI dict transform over "image", "label" (and "soft"), or None.
        batch_size: samples per batch; the last batch is smaller unless ``drop_last``.
        seed: of this epoch.
        extra: (N, K, X, Y) float soft targets that move with the image, under the key "soft".
        drop_last: leave out an incomplete last batch.

    Yields:
        {"image", "label"[, "soft"]}: plain tensors of the types above.

    Raises:
        ConfigError: when soft targets are given and a transform would move the label but not them.
    """
    if augmentation is not None and extra is not None:
        require_soft(augmentation)
    if isinstance(augmentation, Randomizable):
        augmentation.set_random_state(seed=derive_seed(seed, "augmentation"))
    order = torch.randperm(len(images), generator=generator(derive_seed(seed, "order")))
    for chosen in order.split(batch_size):
        if drop_last and len(chosen) < batch_size:
            return
        batch = {"image": images[chosen], "label": label_maps[chosen]}
        if extra is not None:
            batch[SOFT] = extra[chosen]
        yield batch if augmentation is None else _augment(batch, augmentation)


def _augment(batch: dict[str, Tensor], augmentation: Any) -> dict[str, Tensor]:
    """Transform sample by sample, without MONAI's metadata: it costs time and is of no use here."""
    tracked = get_track_meta()
    set_track_meta(False)
    try:
        count = len(batch["image"])
        samples = [augmentation({key: value[n] for key, value in batch.items()}) for n in range(count)]
    finally:
        set_track_meta(tracked)
    return {
        key: torch.stack([plain(sample[key]) for sample in samples]).to(value.dtype) for key, value in batch.items()
    }


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
