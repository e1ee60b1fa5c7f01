# SPDX-License-Identifier: Apache-2.0
"""Pure tensor mathematics of DSFedMed (arXiv 2601.16073), one idea a file; knows torch only."""

from __future__ import annotations

from dsfedmed.algorithms.aggregation import WeightedMean
from dsfedmed.algorithms.batch_quantile import select_batch_quantile
from dsfedmed.algorithms.distillation import (
    DistillationConfig,
    DistillationLosses,
    mutual_distillation_loss,
    select_from_pool,
    select_in_batch,
)
from dsfedmed.algorithms.learnability import learnability_score
from dsfedmed.algorithms.losses import (
    bce_per_sample,
    bernoulli_kl,
    bernoulli_kl_released,
    symmetric_kl,
    symmetric_kl_per_sample,
)
from dsfedmed.algorithms.proximal import proximal_term
from dsfedmed.algorithms.selection import select_softmax, select_top, selection_count
from dsfedmed.algorithms.soft_divergence import soft_kl

__all__ = [
    "DistillationConfig",
    "DistillationLosses",
    "WeightedMean",
    "bce_per_sample",
    "bernoulli_kl",
    "bernoulli_kl_released",
    "learnability_score",
    "mutual_distillation_loss",
    "proximal_term",
    "select_batch_quantile",
    "select_from_pool",
    "select_in_batch",
    "select_softmax",
    "select_top",
    "selection_count",
    "soft_kl",
    "symmetric_kl",
    "symmetric_kl_per_sample",
]
