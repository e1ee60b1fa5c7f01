# SPDX-License-Identifier: Apache-2.0
"""Intervals over cases and seeds: by hand where nothing varies, and wider with each source of variation."""

from __future__ import annotations

import numpy as np
import pytest

from dsfedmed.evaluation.intervals import Stratum, mean_interval
from dsfedmed_benchmarks.studies.seed_intervals import SeededStratum, seeded_interval


def width(strata: list[SeededStratum]) -> float:
    interval = seeded_interval(strata)
    return interval.high - interval.low


def test_without_variation_the_interval_is_the_mean() -> None:
    found = seeded_interval([SeededStratum("a", ((2.0, 2.0), (2.0, 2.0))), SeededStratum("a", ((2.0,), (2.0,)))])
    assert (found.mean, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))
    assert (found.n, found.cases) == (3, 3)


def test_seeds_alone_spread_over_their_resampled_means() -> None:
    """Two seeds of 0 and 4: a replicate's mean is 0, 2 or 4, with chances of 1/4, 1/2 and 1/4."""
    found = seeded_interval([SeededStratum("a", ((0.0, 0.0), (4.0, 4.0)))])
    assert (found.mean, found.low, found.high) == pytest.approx((2.0, 0.0, 4.0))


def test_the_sites_of_a_fold_draw_the_same_seeds_and_folds_their_own() -> None:
    together = [SeededStratum("a", ((0.0,), (4.0,))), SeededStratum("a", ((4.0,), (0.0,)))]
    assert width(together) == pytest.approx(0.0), "what one site gains by a seed the other loses"
    apart = [SeededStratum("a", ((0.0,), (4.0,))), SeededStratum("b", ((4.0,), (0.0,)))]
    assert width(apart) == pytest.approx(4.0)


def test_one_seed_is_the_interval_over_cases() -> None:
    random = np.random.default_rng(0)
    values, cases = tuple(random.normal(1.0, 2.0, 60).tolist()), tuple(int(n) // 2 for n in range(60))
    ours = seeded_interval([SeededStratum("a", (values,), cases)])
    plain = mean_interval([Stratum(values, cases)])
    assert ours.mean == pytest.approx(plain.mean)
    assert (ours.low, ours.high) == pytest.approx((plain.low, plain.high), abs=0.15)
    assert ours.cases == plain.cases == 30


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        seeded_interval([])
    with pytest.raises(ValueError, match="different numbers of seeds"):
        seeded_interval([SeededStratum("a", ((0.0,),)), SeededStratum("a", ((0.0,), (1.0,)))])
    with pytest.raises(ValueError, match="3 cases for 2 values"):
        seeded_interval([SeededStratum("a", ((0.0, 1.0),), (0, 1, 2))])
