# SPDX-License-Identifier: Apache-2.0
"""Learning rates over rounds and steps, and the fading of the repair, by hand and by their properties."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsfedmed.algorithms.schedules import faded_steps, ramp, rate_over_rounds


def test_the_cosine_by_hand() -> None:
    """Over four rounds: 1, (1 + 1/sqrt 2)/2, 1/2, (1 - 1/sqrt 2)/2; beyond them as in the last."""
    wanted = [1.0, (1 + 1 / math.sqrt(2)) / 2, 0.5, (1 - 1 / math.sqrt(2)) / 2]
    assert [rate_over_rounds("cosine", done, 4) for done in range(4)] == pytest.approx(wanted)
    assert rate_over_rounds("cosine", 9, 4) == pytest.approx(wanted[-1])
    assert rate_over_rounds("constant", 9, 4) == 1.0


@given(st.integers(1, 200))
def test_the_cosine_falls_and_never_reaches_zero(total: int) -> None:
    rates = [rate_over_rounds("cosine", done, total) for done in range(total + 2)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 1.0
    assert rates[-1] > 0


@pytest.mark.parametrize(("done", "total"), [(-1, 3), (0, 0)])
def test_rounds_that_cannot_be_are_refused(done: int, total: int) -> None:
    with pytest.raises(ValueError, match="rounds"):
        rate_over_rounds("cosine", done, total)


def test_the_ramp_by_hand() -> None:
    assert [ramp(step, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert ramp(0, 0) == 1.0


def test_the_repair_fades_by_hand() -> None:
    """20 steps over 5 rounds: the same after each; 16, 12, 8, 4, 0; or until three rounds brought nothing."""
    assert [faded_steps("fixed", 20, done, 5, 9, 3) for done in range(1, 6)] == [20] * 5
    assert [faded_steps("annealed", 20, done, 5, 9, 3) for done in range(1, 6)] == [16, 12, 8, 4, 0]
    assert [faded_steps("validated", 20, done, 5, idle, 3) for done, idle in ((1, 0), (3, 2), (4, 3))] == [20, 20, 0]
