# SPDX-License-Identifier: Apache-2.0
"""What a hospital is asked for, by hand."""

from __future__ import annotations

from dsfedmed.planning.asks import asks, decisions
from dsfedmed.planning.times import StageTime
from dsfedmed.planning.traffic import traffic
from tests.planning.samples import FEDBN, NUMBERS, scene


def test_a_site_that_takes_part_and_one_that_is_held_out() -> None:
    found = scene()
    times = [
        StageTime("rounds", {"a": 7.0, "b": 2.0}, 100.0, comparison=False),
        StageTime("evaluate", {"a": 1.0, "d": 3.0}, 0.0, comparison=False),
        StageTime("compare local", {"a": 5.0}, 0.0, comparison=True),
    ]
    by_name = {ask.site: ask for ask in asks(found, NUMBERS, traffic(found, NUMBERS), times)}
    a, d = by_name["a"], by_name["d"]
    assert (a.seconds, a.comparison_seconds) == (8.0, 5.0)  # the server's work is not the hospital's
    assert a.down == 8000 + 4000 + 30 * 4096 * 2 + 8000 + 16_000 + 2000
    assert a.up == 8000 + 600 + 10 * 512 + 120 + 8000
    assert a.disk == 30 * 4096 * 4 + 4 * 4 * 1000
    assert (d.seconds, d.comparison_seconds, d.down, d.up, d.disk) == (3.0, 0, 2000, 0, 0)


def test_without_times_and_without_a_set() -> None:
    found = scene(synthetic={"per_site": 10, "broadcast": False})
    (ask, *_) = asks(found, NUMBERS, [], None)
    assert (ask.seconds, ask.comparison_seconds, ask.disk) == (None, None, 16_000)


def test_the_decisions_are_those_of_what_is_made() -> None:
    assert [text.split(":")[0] for text in decisions(scene())] == ["Masks", "Audit", "Privacy policy"]
    assert [text.split(":")[0] for text in decisions(scene(FEDBN))] == ["Privacy policy"]
