# SPDX-License-Identifier: Apache-2.0
"""Seconds from pieces by hand."""

from __future__ import annotations

import pytest

from dsfedmed.planning.times import StageTime, needed_units, stage_times
from dsfedmed.planning.work import UNITS
from tests.planning.samples import FEDBN, scene


def test_sites_share_one_machine_or_have_one_each() -> None:
    time = StageTime("rounds", {"a": 10.0, "b": 4.0, "c": 4.0}, 3.0, comparison=False)
    assert [time.here(workers) for workers in (1, 2, 3)] == [21.0, 13.0, 13.0]  # two at a time: 10 beside 4 + 4
    assert time.at_hospitals == 13.0
    alone = StageTime("synthesise", {}, 5.0, comparison=False)
    assert (alone.here(2), alone.at_hospitals) == (5.0, 5.0)


def test_a_stage_costs_its_pieces() -> None:
    found = scene()
    seconds = dict.fromkeys(UNITS, 0.0) | {"light_step": 0.5, "infer": 0.1, "distil": 0.2}
    times = {time.stage: time for time in stage_times(found, seconds)}
    assert list(times) == list(found.stages)
    assert times["rounds"].sites["a"] == pytest.approx(24 * 0.5 + 40 * 0.1)
    assert times["rounds"].server == pytest.approx(60 * 0.2)
    assert times["head start"].here(2) == pytest.approx(5.5)
    assert times["compare local"].comparison
    assert not times["rounds"].comparison


def test_only_what_a_run_does_is_calibrated() -> None:
    assert needed_units(scene()) == set(UNITS)
    assert needed_units(scene(FEDBN)) == {"read", "infer", "score", "light_step"}
