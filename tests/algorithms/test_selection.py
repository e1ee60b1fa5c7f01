# SPDX-License-Identifier: Apache-2.0
"""The three selection rules."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsfedmed.algorithms.batch_quantile import select_batch_quantile
from dsfedmed.algorithms.selection import select_softmax, select_top, selection_count
from dsfedmed.errors import ConfigError, DSFedMedError
from dsfedmed.seeds import generator

scores_strategy = st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=40)
rate_strategy = st.floats(0.01, 1.0)


@pytest.mark.parametrize(
    ("total", "rate", "count"), [(4, 0.5, 2), (5, 0.5, 2), (1, 0.1, 1), (100, 0.29, 29), (7, 1.0, 7), (10, 0.7, 7)]
)
def test_selection_count(total: int, rate: float, count: int) -> None:
    assert selection_count(total, rate) == count


@pytest.mark.parametrize("rate", [0.0, -0.5, 1.01, float("nan")])
def test_a_rate_outside_its_range_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="rate"):
        select_top(torch.ones(4), rate)


def test_top_by_hand_with_ties_to_the_lower_index() -> None:
    assert select_top(torch.tensor([0.1, 0.9, 0.5, 0.9]), 0.75).tolist() == [1, 3, 2]


@given(scores_strategy, rate_strategy)
def test_top_keeps_no_score_below_one_it_leaves(values: list[float], rate: float) -> None:
    scores = torch.tensor(values)
    kept = select_top(scores, rate)
    left = torch.ones(len(values), dtype=torch.bool)
    left[kept] = False
    assert len(set(kept.tolist())) == len(kept) == selection_count(len(values), rate)
    assert not bool(left.any()) or float(scores[kept].min()) >= float(scores[left].max())


@given(scores_strategy, rate_strategy, st.integers(0, 99))
def test_softmax_draws_distinct_samples_and_replays(values: list[float], rate: float, seed: int) -> None:
    scores = torch.tensor(values)
    first = select_softmax(scores, rate, generator(seed))
    assert torch.equal(first, select_softmax(scores, rate, generator(seed)))
    assert len(set(first.tolist())) == len(first) == selection_count(len(values), rate)


def test_softmax_draws_with_chances_proportional_to_exp_of_the_score() -> None:
    scores = torch.tensor([0.0, math.log(2.0), math.log(5.0)])
    random = generator(3)
    draws = 4000
    first = torch.tensor([int(select_softmax(scores, 0.34, random)[0]) for _ in range(draws)])
    shares = torch.bincount(first, minlength=3) / draws
    # Standard error of a share is below 0.008.
    torch.testing.assert_close(shares, torch.tensor([0.125, 0.25, 0.625]), atol=0.03, rtol=0)


def test_a_small_temperature_comes_near_the_top_rule() -> None:
    scores = torch.tensor([0.3, -1.0, 2.0, 0.9])
    assert select_softmax(scores, 0.5, generator(0), temperature=1e-4).tolist() == [2, 3]


def test_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(DSFedMedError, match="1 of 2"):
        select_top(torch.tensor([1.0, float("nan")]), 0.5)


def test_batch_quantile_by_hand() -> None:
    # Q_0.7 of (.1 .2 .3 .9) is .3 + .1 * .6 = .36: sample 3 falls; of (.9 .1 .2 .3) likewise sample 0.
    teacher = torch.tensor([0.1, 0.2, 0.3, 0.9])
    student = torch.tensor([0.9, 0.1, 0.2, 0.3])
    disagreement = torch.tensor([9.0, 0.1, 0.2, 8.0])
    assert select_batch_quantile(teacher, student, disagreement).tolist() == [2, 1]


def test_batch_quantile_keeps_all_when_none_survives() -> None:
    selected = select_batch_quantile(torch.tensor([0.1, 0.9]), torch.tensor([0.9, 0.1]), torch.tensor([0.5, 0.7]))
    assert selected.tolist() == [1]


def test_batch_quantile_lets_unreliable_samples_leak_in() -> None:
    # Losses rise in opposite order: only samples 3 and 4 pass both quantiles, but k = 4 of 8 are taken.
    rising = torch.arange(8.0)
    disagreement = torch.tensor([8.0, 7.0, 6.0, 1.0, 2.0, 5.0, 4.0, 3.0])
    selected = select_batch_quantile(rising, rising.flip(0), disagreement)
    assert selected.tolist() == [4, 3, 0, 1]


@pytest.mark.parametrize(("size", "count"), [(1, 1), (2, 1), (3, 1), (4, 2), (10, 5)])
def test_batch_quantile_takes_half_of_the_batch_and_at_least_one(size: int, count: int) -> None:
    random = generator(size)
    terms = [torch.rand(size, generator=random) for _ in range(3)]
    assert len(select_batch_quantile(*terms)) == count


def test_batch_quantile_at_four_never_leaks() -> None:
    random = generator(1)
    for _ in range(200):
        teacher, student, disagreement = (torch.rand(4, generator=random) for _ in range(3))
        for index in select_batch_quantile(teacher, student, disagreement).tolist():
            assert index != int(teacher.argmax())
            assert index != int(student.argmax())
