# SPDX-License-Identifier: Apache-2.0
"""The teacher's soft labels of the selected samples, small enough to send to the sites.

Probabilities (n, K, s, s) at a low resolution, as uint8: q = round(255 p), p' = q / 255, so |p - p'| <= 1/510.
At 64 px, half resolution and one class that is 1 KiB a sample. The paper (DSFedMed, arXiv 2601.16073) distils at the
server only; sending soft labels is our extension for distillation at the sites.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from dsfedmed.errors import DSFedMedError, PayloadError
from dsfedmed.training.pool import Pool, Teacher, at_size, device_of, index_batches
from dsfedmed.training.precision import Autocast, autocast

LEVELS = 255
MAX_ERROR = 0.5 / LEVELS
FLIPS: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (2, 3))


@dataclass(frozen=True)
class SoftLabelOptions:
    """How the teacher is asked.

    Attributes:
        size: side of the soft labels in pixels, such as half of the image's.
        flips: average the probabilities over the four flips of the image.
        precision: number format of the teacher's pass; in bfloat16 the error is near that of the eight bits.
        batch_size: images at once.
    """

    size: int
    flips: bool = False
    precision: Autocast = "off"
    batch_size: int = 16


@torch.no_grad()
def teacher_soft_labels(
    teacher: Teacher,
    pool: Pool,
    indices: Iterable[int],
    options: SoftLabelOptions,
    on_batch: Callable[[int], None] | None = None,
) -> Tensor:
    """Return the teacher's probabilities of the samples ``indices``, encoded, uint8 (n, K, size, size).

    Args:
        teacher: run in evaluation mode.
        pool: the synthetic set.
        indices: which samples, in the order of the result.
        options: their size, and how the teacher is run.
        on_batch: called with the number of samples done.

    Raises:
        DSFedMedError: no sample was selected, or the teacher's answers are no probabilities.
    """
    teacher.eval()
    parts: list[Tensor] = []
    done = 0
    for batch in index_batches(list(indices), options.batch_size):
        probabilities = _probabilities(teacher, pool.images(batch).to(device_of(teacher)), options)
        parts.append(encode_soft(at_size(probabilities, (options.size, options.size)).clamp(0.0, 1.0)))
        done += len(batch)
        if on_batch is not None:
            on_batch(done)
    if not parts:
        raise DSFedMedError("soft labels", "no sample was selected", "Raise the selection rate")
    return torch.cat(parts)


def encode_soft(probabilities: Tensor) -> Tensor:
    """Return uint8 levels of probabilities (n, K, h, w) in [0, 1]; the error is at most ``MAX_ERROR`` (1/510).

    Raises:
        DSFedMedError: a value lies outside [0, 1] or is not finite.
    """
    inside = (probabilities >= 0) & (probabilities <= 1)
    if not bool(inside.all()):
        bad = int((~inside).sum())
        fix = "The teacher has diverged; lower its learning rate"
        raise DSFedMedError("soft labels", f"{bad} values are no probabilities", fix)
    return (probabilities.float() * LEVELS).round().to(torch.uint8).cpu()


def decode_soft(levels: Tensor, count: int, num_classes: int, where: str = "soft labels") -> Tensor:
    """Return probabilities, float32 (n, K, h, w) in [0, 1], of what came over the wire.

    Args:
        levels: uint8 (n, K, h, w).
        count: the number of samples announced.
        num_classes: K.
        where: the payload's name, for the error.

    Raises:
        PayloadError: another dtype or shape than announced.
    """
    if levels.dtype != torch.uint8:
        raise PayloadError(where, f"dtype {levels.dtype} instead of uint8", "Send what encode_soft gives")
    if levels.ndim != 4 or levels.shape[:2] != (count, num_classes) or 0 in levels.shape[2:]:
        reason = f"shape {tuple(levels.shape)} instead of ({count}, {num_classes}, h, w)"
        raise PayloadError(where, reason, "Send one soft label for each selected sample and class")
    return levels.float().div_(LEVELS)


def _probabilities(teacher: Teacher, images: Tensor, options: SoftLabelOptions) -> Tensor:
    """Return sigmoid(logits) at the image's size, averaged over flips if asked."""
    views = FLIPS if options.flips else FLIPS[:1]
    total = torch.zeros(())
    for dims in views:
        with autocast(images.device, options.precision):
            logits = teacher(images.flip(dims))
        total = total.to(images.device) + torch.sigmoid(logits.float()).flip(dims)
    return total / len(views)
