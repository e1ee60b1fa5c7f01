# SPDX-License-Identifier: Apache-2.0
"""What every training loop of a light network is given: the task, which stays, and labelled images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dsfedmed.training.precision import Autocast

Batch = dict[str, Tensor]
"""A batch by name: "image" (N, C, S, S), "label" (N, 1, S, S), and "soft" (N, K, S, S) where there are soft labels."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""Of logits and mask channels, both (N, K, S, S), to a scalar; such as the bundle's."""
OnStep = Callable[[int, int, float], None]
"""Called after each gradient step with (steps done, steps in all, loss)."""


@dataclass(frozen=True)
class TrainingTask:
    """What does not change from call to call: the classes, the bundle's parts, and how batches are made and run.

    Attributes:
        num_classes: K.
        nested: how label maps turn into K channels, see ``data.labels``.
        loss: of (logits, mask channels); it leaves out pixels without a label, whose channels are NaN.
        augmentation: MONAI dict transform over "image", "label" and "soft", or None.
        batch_size: images a step.
        precision: number format of the forward pass; weights, loss and update stay float32. On CPUs with AVX-512 BF16
            bfloat16 makes TinySAM two to four times faster and a small U-Net a quarter; without, it is slower. A
            float16 step whose gradients overflow is left out.
        workers: processes that augment ahead, see `augmented_batches`; results do not depend on it.
        where: who trains, such as the site, for errors.
    """

    num_classes: int
    nested: bool
    loss: Loss
    augmentation: Any | None
    batch_size: int
    precision: Autocast = "off"
    workers: int = 0
    where: str = "light network"


@dataclass(frozen=True)
class LabelledImages:
    """Images (N, C, S, S), float32 in [0, 1], and their label maps (N, 1, S, S), uint8."""

    images: Tensor
    label_maps: Tensor
