# SPDX-License-Identifier: Apache-2.0
"""Area, true positives at few false ones and their intervals, by hand."""

from __future__ import annotations

import pytest
import torch

from dsfedmed_benchmarks.attacks.scores import (
    Interval,
    Scored,
    area_under_curve,
    bootstrap,
    over_networks,
    pooled_area,
    pooled_true_positives,
    true_positives,
)


def test_the_area_counts_pairs_and_halves_of_ties() -> None:
    members, others = torch.tensor([3.0, 1.0]), torch.tensor([2.0, 1.0])
    assert area_under_curve(members, others) == (2 + 0.5) / 4
    assert area_under_curve(others + 5, others) == 1
    assert area_under_curve(others - 5, others) == 0
    with pytest.raises(ValueError, match="no scores"):
        area_under_curve(members, members[:0])


def test_true_positives_allow_a_hundredth_of_the_others() -> None:
    others = torch.arange(200.0)
    members = torch.tensor([199.5, 198.5, 197.5, 196.5])
    assert true_positives(members, others) == 0.75, "two of 200 may pass: the threshold is 197"
    assert true_positives(members, others[:50]) == 1
    assert true_positives(torch.tensor([49.0, 49.5]), others[:50]) == 0.5, "none of 50 may pass"
    assert true_positives(members, others, rate=0.005) == 0.5


def test_groups_are_compared_within_themselves() -> None:
    easy = Scored(torch.tensor([2.0]), torch.tensor([1.0]))
    far = Scored(torch.tensor([10.0, 10.0]), torch.tensor([11.0]))
    assert pooled_area([easy, far]) == pytest.approx(1 / 3)
    assert pooled_true_positives([easy, far]) == pytest.approx(1 / 3)


def test_intervals_hold_what_they_are_of() -> None:
    draws = torch.Generator().manual_seed(0)
    scores = Scored(torch.randn(200, generator=draws), torch.randn(300, generator=draws))
    found = bootstrap(pooled_area, [scores], resamples=300)
    assert found.low < found.value < found.high
    assert found.low < 0.5 < found.high
    assert 0.06 < found.high - found.low < 0.16, "1.96 standard errors of Mann and Whitney are 0.05"
    assert found == bootstrap(pooled_area, [scores], resamples=300)
    assert str(Interval(0.512, 0.4, 0.6)) == "0.51 (0.40 to 0.60)"


def test_the_interval_over_networks_is_students() -> None:
    found = over_networks([0.5, 0.6, 0.7])
    assert found.value == pytest.approx(0.6)
    assert found.high - found.value == pytest.approx(4.3027 * 0.1 / 3**0.5, abs=1e-4)
