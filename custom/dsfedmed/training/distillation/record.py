# SPDX-License-Identifier: Apache-2.0
"""What an epoch of mutual distillation says of itself, for the run's record and the report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

HISTOGRAM_BINS = 20


@dataclass(frozen=True)
class PoolScores:
    """What the scoring pass knows of each sample, all (N,): losses, disagreement and the learnability score."""

    teacher_loss: Tensor
    student_loss: Tensor
    disagreement: Tensor
    scores: Tensor


@dataclass(frozen=True)
class DistillationRecord:
    """One epoch, for the run's record and the report.

    Attributes:
        epoch: from 0, counted on over interleaved calls.
        pool: N, samples scored.
        selected: samples whose KL terms were used.
        steps: gradient steps.
        score_mean: mean learnability score of the pool (0 if normalised).
        score_std: its standard deviation.
        selected_score_mean: mean score of the selected samples.
        pool_teacher_loss: mean L_GT over the pool before the epoch.
        pool_disagreement: mean symmetric KL over the pool before the epoch.
        teacher_loss: mean supervised loss of the teacher over the epoch's steps.
        student_loss: mean supervised loss of the light network over the epoch's steps.
        kl: mean of the symmetric KL over the epoch's steps, on selected samples.
        histogram_edges: bounds of the score bins, one more than bins.
        histogram_pool: pool samples in each bin.
        histogram_selected: selected samples in each bin.
        seconds: wall time.
        overflows: gradient steps left out because their float16 gradients overflowed.
    """

    epoch: int
    pool: int
    selected: int
    steps: int
    score_mean: float
    score_std: float
    selected_score_mean: float
    pool_teacher_loss: float
    pool_disagreement: float
    teacher_loss: float
    student_loss: float
    kl: float
    histogram_edges: tuple[float, ...]
    histogram_pool: tuple[int, ...]
    histogram_selected: tuple[int, ...]
    seconds: float
    overflows: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready values."""
        return asdict(self)


def epoch_record(
    epoch: int, pool: PoolScores, chosen: Tensor, parts: list[dict[str, float]], seconds: float, overflows: int = 0
) -> DistillationRecord:
    """Return the record of an epoch.

    Args:
        epoch: its number.
        pool: what its scoring pass found.
        chosen: pool indices whose KL terms were used.
        parts: the loss terms of each gradient step, as ``DistillationLosses.parts``.
        seconds: wall time.
        overflows: steps left out.
    """
    scores, selected = pool.scores.double(), pool.scores[chosen].double()
    low, high = float(scores.min()), float(scores.max())
    edges = torch.linspace(low, high if high > low else low + 1.0, HISTOGRAM_BINS + 1, dtype=torch.float64)

    def mean(name: str) -> float:
        return sum(part[name] for part in parts) / len(parts)

    def histogram(values: Tensor) -> tuple[int, ...]:
        return tuple(int(count) for count in torch.histogram(values, edges).hist)

    return DistillationRecord(
        epoch=epoch,
        pool=len(scores),
        selected=len(chosen),
        steps=len(parts),
        score_mean=float(scores.mean()),
        score_std=float(scores.std(correction=0)),
        selected_score_mean=float(selected.mean()),
        pool_teacher_loss=float(pool.teacher_loss.mean()),
        pool_disagreement=float(pool.disagreement.mean()),
        teacher_loss=mean("teacher_supervised"),
        student_loss=mean("student_supervised"),
        kl=mean("teacher_kl") + mean("student_kl"),
        histogram_edges=tuple(edges.tolist()),
        histogram_pool=histogram(scores),
        histogram_selected=histogram(selected),
        seconds=seconds,
        overflows=overflows,
    )
