# SPDX-License-Identifier: Apache-2.0
"""Means with 95 % bootstrap intervals, and paired differences between two methods.

Images of one patient are alike, so the bootstrap resamples patients (clusters), inside each site
(stratum); the mean itself is over images. Percentile intervals, seeded, so a report can be rebuilt
to the last digit (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A mean with the interval around it.

    Attributes:
        mean: mean over all images.
        low: lower end of the interval.
        high: upper end of the interval.
        n: number of images.
        cases: number of patients among them.
    """

    mean: float
    low: float
    high: float
    n: int
    cases: int


@dataclass(frozen=True)
class Stratum:
    """The values of one site, with the patient each belongs to (None: every image its own patient)."""

    values: tuple[float, ...]
    cases: tuple[int, ...] | None = None


def mean_interval(strata: Sequence[Stratum], seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """Return the mean over all images of all strata with its 95 % interval.

    Args:
        strata: one per site; at least one value in all.
        seed: of the resampling.
        resamples: number of bootstrap replicates.

    Raises:
        ValueError: there are no values, or a stratum's cases do not match its values.
    """
    grouped = [_cluster_sums(stratum) for stratum in strata if stratum.values]
    if not grouped:
        raise ValueError("an interval needs at least one value")
    values = np.concatenate([np.asarray(stratum.values, dtype=np.float64) for stratum in strata])
    random = np.random.default_rng(seed)
    totals, counts = np.zeros(resamples), np.zeros(resamples)
    for sums, sizes in grouped:
        drawn = random.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=resamples)
        totals += drawn @ sums
        counts += drawn @ sizes
    low, high = np.quantile(totals / counts, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(values.mean()), float(low), float(high), len(values), sum(len(s) for s, _ in grouped))


def bootstrap_mean(values: Sequence[float], cases: Sequence[int] | None = None, seed: int = 0) -> Interval:
    """Return the mean of one site's values with its 95 % interval; see ``mean_interval``."""
    return mean_interval([Stratum(tuple(values), None if cases is None else tuple(cases))], seed)


def paired_difference(ours: Sequence[Stratum], theirs: Sequence[Stratum], seed: int = 0) -> Interval:
    """Return the mean of ``ours - theirs`` on the same images with its 95 % interval.

    Raises:
        ValueError: the two do not cover the same images, site for site.
    """
    if [len(one.values) for one in ours] != [len(other.values) for other in theirs]:
        raise ValueError("a paired difference needs both methods on the same images")
    if [one.cases for one in ours] != [other.cases for other in theirs]:
        raise ValueError("a paired difference needs the same patients in the same order")
    pairs = zip(ours, theirs, strict=True)
    return mean_interval([Stratum(_minus(one.values, other.values), one.cases) for one, other in pairs], seed)


def _minus(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    """Element-wise difference."""
    return tuple(a - b for a, b in zip(ours, theirs, strict=True))


def _cluster_sums(stratum: Stratum) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum of values and number of images of every patient."""
    values = np.asarray(stratum.values, dtype=np.float64)
    if stratum.cases is None:
        return values, np.ones_like(values)
    if len(stratum.cases) != len(values):
        raise ValueError(f"{len(stratum.cases)} cases for {len(values)} values")
    _, index = np.unique(np.asarray(stratum.cases), return_inverse=True)
    sums: NDArray[np.float64] = np.bincount(index, weights=values).astype(np.float64)
    return sums, np.bincount(index).astype(np.float64)
