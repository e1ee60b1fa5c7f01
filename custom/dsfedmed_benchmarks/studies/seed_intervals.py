# SPDX-License-Identifier: Apache-2.0
"""95 % intervals over cases and seeds: the same test images scored by the networks of several seeds.

Two-level bootstrap: each replicate draws seeds with replacement inside each held-out fold, and patients with
replacement inside each site, the same patients for all of its seeds (they are the same images). Percentile intervals,
seeded. With one seed it is the interval over cases alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsfedmed.evaluation.intervals import LEVEL, RESAMPLES, Interval

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SeededStratum:
    """One site's paired values under several seeds.

    Attributes:
        fold: what was held out; seeds are drawn anew for each fold, and alike for all of its sites.
        values: (S, N), a row per seed, a column per image.
        cases: (N,) number of the patient each image belongs to; None: every image its own.
    """

    fold: str
    values: tuple[tuple[float, ...], ...]
    cases: tuple[int, ...] | None = None


def seeded_interval(strata: Sequence[SeededStratum], seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """Return the mean over all images, sites, folds and seeds with its 95 % interval.

    Every image counts once for the mean of its seeds. ``n`` and ``cases`` of the result are those of the test images.

    Args:
        strata: at least one, with at least one value; the strata of a fold have the same number of seeds.
        seed: of the resampling.
        resamples: number of bootstrap replicates.

    Raises:
        ValueError: no values, rows of unequal length, or a fold with unequal numbers of seeds.
    """
    arrays = [np.asarray(stratum.values, dtype=np.float64) for stratum in strata]
    if not arrays or any(array.ndim != 2 or array.size == 0 for array in arrays):
        raise ValueError("an interval needs at least one value of every stratum, one row per seed")
    counts = _seeds_by_fold(strata, arrays)
    random = np.random.default_rng(seed)
    weights = {fold: random.multinomial(n, np.full(n, 1 / n), size=resamples) / n for fold, n in counts.items()}
    totals, images, patients = np.zeros(resamples), np.zeros(resamples), 0
    for stratum, array in zip(strata, arrays, strict=True):
        sums, sizes = _by_patient(array, stratum.cases)
        drawn = random.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=resamples)
        totals += np.einsum("rs,sp,rp->r", weights[stratum.fold], sums, drawn)
        images += drawn @ sizes
        patients += len(sizes)
    low, high = np.quantile(totals / images, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    mean = float(np.concatenate([array.mean(0) for array in arrays]).mean())
    return Interval(mean, float(low), float(high), sum(array.shape[1] for array in arrays), patients)


def _seeds_by_fold(strata: Sequence[SeededStratum], arrays: Sequence[Array]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for stratum, array in zip(strata, arrays, strict=True):
        if counts.setdefault(stratum.fold, len(array)) != len(array):
            raise ValueError(f"fold {stratum.fold}: its sites were scored under different numbers of seeds")
    return counts


def _by_patient(values: Array, cases: Sequence[int] | None) -> tuple[Array, Array]:
    """Return sums (S, P) and numbers of images (P,) of every patient."""
    if cases is None:
        return values, np.ones(values.shape[1])
    if len(cases) != values.shape[1]:
        raise ValueError(f"{len(cases)} cases for {values.shape[1]} values")
    _, index = np.unique(np.asarray(cases), return_inverse=True)
    sums = np.stack([np.bincount(index, weights=row) for row in values])
    return sums.astype(np.float64), np.bincount(index).astype(np.float64)
