# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch

from dsfedmed.generator.copies.limit import MARGIN, chance_limit


def gumbel(count: int) -> torch.Tensor:
    """Return evenly spaced quantiles of the Gumbel distribution at 2 with scale 0.5."""
    share = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return 2 - 0.5 * (-share.log()).log()


def test_quantile_of_the_distribution_that_the_agreements_follow() -> None:
    expected = 2 - 0.5 * math.log(-math.log(0.99))
    assert chance_limit(gumbel(20000), 0.01, 0.1) == pytest.approx(expected, abs=0.01)


def test_a_few_copies_among_the_others_hardly_move_it() -> None:
    values = gumbel(200)
    values[-8:] = 50.0
    assert chance_limit(values, 0.01, 0.1) == pytest.approx(2 - 0.5 * math.log(-math.log(0.99)), abs=0.1)


def test_what_was_seen_counts_where_it_is_less_and_a_floor_holds() -> None:
    uniform = torch.linspace(0, 1, 101)
    assert chance_limit(uniform, 0.01, 0.1) == pytest.approx(MARGIN * 0.99)
    assert chance_limit(uniform / 100, 0.01, 0.1) == 0.1
