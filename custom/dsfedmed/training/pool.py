# SPDX-License-Identifier: Apache-2.0
"""What training asks of a pool of image and label pairs, and of a teacher; small helpers on both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from dsfedmed.errors import DataError

ENCODER_PREFIX = "image_encoder."
PROMPT_PREFIX = "prompt_encoder."
IN_MEMORY_BYTES = 1 << 31


class Pool(Protocol):
    """Pairs read by index, such as ``dsfedmed.data.synthetic.SyntheticSet`` or ``TensorPool``."""

    def __len__(self) -> int:
        """Return the number of pairs N."""

    def images(self, indices: list[int]) -> Tensor:
        """Return images (n, C, S, S), float32 in [0, 1]."""

    def labels(self, indices: list[int]) -> Tensor:
        """Return label maps (n, 1, S, S), uint8."""


class Teacher(Protocol):
    """A promptless SAM; the trainable remainder are the parameters outside its image and prompt encoders."""

    def encode(self, images: Tensor) -> Tensor:
        """Return embeddings (N, E, h, w) of images (N, C, S, S) in [0, 1]."""

    def decode(self, embeddings: Tensor) -> Tensor:
        """Return low-resolution logits (N, K, h', w') of embeddings (N, E, h, w)."""

    def __call__(self, images: Tensor) -> Tensor:
        """Return logits (N, K, S, S) of images (N, C, S, S) in [0, 1]."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield parameters; the image encoder's names start with ``image_encoder.``."""

    def state_dict(self) -> dict[str, Any]:
        """Return all tensors by name."""

    def train(self, mode: bool = True) -> Any:
        """Set training mode."""

    def eval(self) -> Any:
        """Set evaluation mode."""


@dataclass(frozen=True)
class TensorPool:
    """A pool held in memory.

    Attributes:
        image_tensor: (N, C, S, S), float32 in [0, 1], or uint8 in 0..255, which is scaled when read.
        label_tensor: (N, 1, S, S), uint8.
    """

    image_tensor: Tensor
    label_tensor: Tensor

    def __post_init__(self) -> None:
        """Raise ``DataError`` unless images and label maps pair up."""
        images, labels = self.image_tensor, self.label_tensor
        paired = images.ndim == labels.ndim == 4 and len(images) == len(labels) > 0
        if not paired or labels.shape[1] != 1 or images.shape[2:] != labels.shape[2:]:
            reason = f"images {tuple(images.shape)} and label maps {tuple(labels.shape)} do not pair up"
            raise DataError("training pool", reason, "Give (N, C, S, S) images and (N, 1, S, S) label maps")

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.image_tensor)

    def images(self, indices: list[int]) -> Tensor:
        """Return images (n, C, S, S), float32 in [0, 1]."""
        return unit_images(self.image_tensor[indices])

    def labels(self, indices: list[int]) -> Tensor:
        """Return label maps (n, 1, S, S)."""
        return self.label_tensor[indices]


def in_memory(pool: Pool, limit: int = IN_MEMORY_BYTES) -> Pool:
    """Return the pool held in memory as uint8, where it fits ``limit`` bytes and its images are levels of 255.

    Epoch after epoch reads the same images, and to read one from the synthetic set is to decode it again.
    """
    one = pool.images([0])
    if isinstance(pool, TensorPool) or len(pool) * (one[0].numel() + one[0, 0].numel()) > limit:
        return pool
    images, labels = [], []
    for batch in index_batches(range(len(pool)), 32):
        values = pool.images(batch)
        images.append((values * 255).round().to(torch.uint8))
        labels.append(pool.labels(batch))
        if not torch.equal(unit_images(images[-1]), values):
            return pool
    return TensorPool(torch.cat(images), torch.cat(labels))


def unit_images(images: Tensor) -> Tensor:
    """Return images as float32 in [0, 1]; uint8 is divided by 255."""
    return images.float().div_(255.0) if images.dtype == torch.uint8 else images.float()


def index_batches(indices: Sequence[int] | Tensor, batch_size: int) -> Iterator[list[int]]:
    """Yield the indices in lists of ``batch_size``; the last may be shorter."""
    flat = [int(index) for index in indices]
    for start in range(0, len(flat), batch_size):
        yield flat[start : start + batch_size]


def at_size(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Return logits or probabilities (N, K, h, w) resampled bilinearly to ``size``; unchanged if already there."""
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return functional.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)


def coarse_logits(network: Any, images: Tensor) -> Tensor:
    """Return a promptless SAM's logits at its own low resolution, not resampled to the image; other networks' as is."""
    if hasattr(network, "encode") and hasattr(network, "decode"):
        return cast(Tensor, network.decode(network.encode(images)))
    return cast(Tensor, network(images))


def mask_at_size(channels: Tensor, size: Sequence[int]) -> Tensor:
    """Return mask channels (N, K, S, S) in {0, 1} on a coarser grid: 1 where at least half of the cell is covered.

    A cell in which a pixel is ignored (NaN) is ignored.

    Deviation: the released code stores label maps shrunk by nearest neighbour.
    """
    if tuple(channels.shape[-2:]) == tuple(size):
        return channels
    covered = functional.interpolate(channels, size=tuple(size), mode="area")
    return (covered >= 0.5).to(channels.dtype).masked_fill(covered.isnan(), torch.nan)


def is_encoder(name: str) -> bool:
    """Say whether a teacher's parameter belongs to the encoders that stay frozen during distillation."""
    return name.startswith((ENCODER_PREFIX, PROMPT_PREFIX))


def device_of(module: Any) -> torch.device:
    """Return the device of a module's first parameter."""
    _, parameter = next(iter(module.named_parameters()))
    return torch.device(parameter.device)
