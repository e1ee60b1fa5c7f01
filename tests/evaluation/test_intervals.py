# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsfedmed.evaluation.intervals import Stratum, bootstrap_mean, mean_interval, paired_difference

values = st.lists(st.floats(-100, 100), min_size=1, max_size=30)


@settings(max_examples=40)
@given(values, st.integers(0, 1000))
def test_the_interval_holds_the_values_range_and_is_replayable(found: list[float], seed: int) -> None:
    interval = bootstrap_mean(found, seed=seed)
    assert interval == bootstrap_mean(found, seed=seed)
    assert interval.mean == pytest.approx(np.mean(found), abs=1e-9)
    assert min(found) - 1e-9 <= interval.low <= interval.high <= max(found) + 1e-9
    assert interval.n == interval.cases == len(found)


def test_the_width_is_that_of_the_normal_theory() -> None:
    sample = np.random.default_rng(3).normal(10, 2, 400)
    interval = bootstrap_mean(sample.tolist())
    half = 1.96 * sample.std() / 20
    assert interval.high - interval.low == pytest.approx(2 * half, rel=0.08)


def test_images_of_one_patient_do_not_narrow_the_interval() -> None:
    patients = np.random.default_rng(0).normal(0, 1, 60)
    alone = bootstrap_mean(patients.tolist())
    copies = np.repeat(patients, 4)
    clustered = bootstrap_mean(copies.tolist(), np.repeat(np.arange(60), 4).tolist())
    naive = bootstrap_mean(copies.tolist())
    assert clustered.high - clustered.low == pytest.approx(alone.high - alone.low, rel=1e-9)
    assert naive.high - naive.low < 0.6 * (clustered.high - clustered.low)
    assert (clustered.n, clustered.cases) == (240, 60)


def test_sites_are_strata() -> None:
    sites = [Stratum((0.0,) * 10), Stratum((1.0,) * 30)]
    interval = mean_interval(sites)
    assert (interval.mean, interval.low, interval.high) == (0.75, 0.75, 0.75)  # no variance inside a site


def test_a_paired_difference_ignores_what_both_share() -> None:
    random = np.random.default_rng(1)
    hard = random.normal(0, 20, 50)
    ours, theirs = [Stratum(tuple(hard + 2))], [Stratum(tuple(hard + random.normal(0, 0.1, 50)))]
    interval = paired_difference(ours, theirs)
    assert interval.mean == pytest.approx(2, abs=0.05)
    assert interval.high - interval.low < 0.2


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([Stratum((1.0, 2.0))], [Stratum((1.0,))]),
        ([Stratum((1.0, 2.0), (0, 1))], [Stratum((1.0, 2.0), (0, 0))]),
        ([Stratum((1.0,))], [Stratum((1.0,)), Stratum((2.0,))]),
    ],
)
def test_a_paired_difference_needs_the_same_images(ours: list[Stratum], theirs: list[Stratum]) -> None:
    with pytest.raises(ValueError, match="same"):
        paired_difference(ours, theirs)


def test_nothing_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_mean([])
    with pytest.raises(ValueError, match="2 cases for 1 values"):
        bootstrap_mean([1.0], [0, 1])
