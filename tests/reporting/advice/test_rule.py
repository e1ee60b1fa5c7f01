# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from dsfedmed.reporting.advice.rule import Choice, Difference, choose

BETTER, WORSE, UNCLEAR = Difference(3.0, 1.0, 5.0), Difference(-5.3, -12.1, -0.9), Difference(0.4, -1.0, 1.9)
CHEAP, DEAR = (8.0, 97.0), (97.0, 8.0)


def test_an_interval_that_touches_0_is_not_clear() -> None:
    assert (BETTER.sign, WORSE.sign, UNCLEAR.sign) == (1, -1, 0)
    assert Difference(2.0, 0.0, 4.0).sign == 0
    assert Difference(-2.0, -4.0, 0.0).sign == 0


@pytest.mark.parametrize(
    ("seen", "unseen", "cost", "wanted"),
    [
        (BETTER, BETTER, DEAR, Choice("better", "method")),
        (BETTER, UNCLEAR, DEAR, Choice("better", "method")),
        (UNCLEAR, BETTER, DEAR, Choice("better", "method")),
        (WORSE, UNCLEAR, CHEAP, Choice("worse", "baseline")),
        (WORSE, WORSE, CHEAP, Choice("worse", "baseline")),
        (BETTER, WORSE, CHEAP, Choice("mixed", None)),
        (WORSE, BETTER, CHEAP, Choice("mixed", None)),
        (UNCLEAR, UNCLEAR, DEAR, Choice("unclear", "baseline")),
        (UNCLEAR, UNCLEAR, CHEAP, Choice("unclear", "method")),
        (UNCLEAR, UNCLEAR, (8.0, 8.0), Choice("unclear", "baseline")),
        (UNCLEAR, UNCLEAR, None, Choice("unclear", None)),
    ],
)
def test_by_hand(seen: Difference, unseen: Difference, cost: tuple[float, float] | None, wanted: Choice) -> None:
    assert choose({"seen": seen, "unseen": unseen}, cost) == wanted


def test_one_group_is_enough_and_none_says_nothing() -> None:
    assert choose({"unseen": WORSE}, None) == Choice("worse", "baseline")
    assert choose({}, CHEAP) == Choice("not said", None)
