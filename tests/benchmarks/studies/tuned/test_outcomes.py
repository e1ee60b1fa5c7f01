# SPDX-License-Identifier: Apache-2.0
"""Tuned arms by hand: which point is chosen, what a run reached, and the difference from the best baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dsfedmed.reporting.record import Record
from dsfedmed_benchmarks.studies.tuned.arms import Arm
from dsfedmed_benchmarks.studies.tuned.figure import tuned_rounds_figure
from dsfedmed_benchmarks.studies.tuned.outcomes import ArmResult, Outcome, best_of, best_point, outcome_of
from dsfedmed_benchmarks.studies.tuned.table import tuned_rounds_markdown
from tests.benchmarks.studies.runs import case

FEDAVG, REFIT = Arm("fedavg", "FedAvg", kind="baseline", grid=({"rounds": 1},)), Arm("refit", "Refit")


def outcome(validation: float, seen: float, unseen: float | None = 50.0) -> Outcome:
    return Outcome(validation, seen, unseen, {"a": seen, "c": 50.0}, 100, 5, 2.0**20, 2.0**21, 12.0)


def result(arm: Arm, rounds: int, *seen: float) -> ArmResult:
    """One outcome a seed; its validation is its test Dice."""
    return ArmResult(arm, rounds, 0, {seed: outcome(value, value) for seed, value in enumerate(seen)})


def test_the_first_of_the_best_points_is_chosen_once_all_are_there() -> None:
    assert best_point([0.5, 0.7, 0.7]) == 1
    assert best_point([0.5, None]) is None


def test_what_a_run_reached_by_hand() -> None:
    """Site a has two images at 0.8 and 0.6, site b one at 0.3: the mean of the means is 0.5."""
    rows = [("a", "audit", 100), ("b", "audit", 300), ("a", "rounds", 10), ("b", "rounds", 30), ("a", "evaluate", 9)]
    data: dict[str, Any] = {
        "method": "dsfedmed",
        "sites": ["a", "b"],
        "unseen": ["c"],
        "verdict": "complete",
        "cases": {"dsfedmed": {"a": [case(0.8), {**case(0.6), "case": 1}], "b": [case(0.3)], "c": [case(0.9)]}},
        "bytes": {
            "entries": [{"site": s, "stage": t, "bytes": n, "purpose": "method", "direction": "up"} for s, t, n in rows]
        },
        "stages": [{"name": "audit", "seconds": 7}, {"name": "rounds", "seconds": 5}],
        "selected": {"dsfedmed": {"validation_dice": 0.61, "round": 3}},
        "budgets": {"dsfedmed": {"local_steps": 42}},
    }
    ours = outcome_of(Record(Path("run"), data), REFIT)
    assert (ours.validation, ours.seen, ours.unseen) == pytest.approx((61.0, 50.0, 90.0))
    assert (ours.steps, ours.chosen_round) == (42, 3)
    assert ours.per_site == pytest.approx({"a": 70.0, "b": 30.0, "c": 90.0})
    assert (ours.round_bytes, ours.bytes, ours.seconds) == pytest.approx((20.0, 220.0, 12.0))
    theirs = outcome_of(Record(Path("run"), data), FEDAVG)
    assert (theirs.bytes, theirs.seconds) == pytest.approx((20.0, 5.0)), "a baseline needs no set"


def test_the_difference_is_from_the_best_baseline_by_validation_seed_by_seed() -> None:
    results = [result(FEDAVG, 5, 40.0, 50.0), result(REFIT, 5, 60.0, 64.0)]
    assert best_of(results, "baseline") is results[0]
    assert best_of([results[1]], "baseline") is None
    minus = results[1].minus(results[0], "seen")
    assert minus is not None
    assert (minus.mean, minus.runs) == (17.0, 2)
    later = [result(FEDAVG, 20, 65.0, 63.0)]
    page = tuned_rounds_markdown({("c", 5): results, ("c", 20): later}, ["Refit, 20 rounds"])
    assert "| 5 | FedAvg | rounds 1 | 45.0 ± 63.5 | 45.0 ± 63.5 | 50.0 ± 0.0 | a 45.0, c 50.0 | 100 | 1.0 MiB |" in page
    assert "| Refit, 5 | FedAvg, 5 | +17.0 ± 38.1 | +0.0 ± 0.0 |" in page
    assert "| Refit, 5 | FedAvg, 20 | -2.0 ± 38.1 | +0.0 ± 0.0 |" in page
    assert "- Refit, 20 rounds" in page


def test_the_picture_has_a_line_for_every_arm() -> None:
    svg = tuned_rounds_figure([result(FEDAVG, 5, 40.0), result(FEDAVG, 20, 60.0), result(REFIT, 5, 50.0)])
    assert svg is not None
    assert svg.startswith("<?xml")
    assert tuned_rounds_figure([]) is None


def test_the_room_is_what_all_images_in_one_place_have_above_the_best_baseline() -> None:
    central = Arm("central", "Central", kind="bound", model="centralised")
    page = tuned_rounds_markdown({("c", 20): [result(FEDAVG, 20, 70.0), result(central, 20, 75.5)]}, [])
    assert "| room: Central, 20 | FedAvg, 20 | +5.5 | +0.0 |" in page


def test_every_point_that_was_tried_is_shown_with_its_validation() -> None:
    arm = Arm("fedavg", "FedAvg", kind="baseline", grid=({"rounds": 1}, {"rounds": 2}))
    found = ArmResult(arm, 5, 1, {0: outcome(60.0, 50.0)}, (40.0, 60.0))
    page = tuned_rounds_markdown({("c", 5): [found]}, [])
    assert "| 5 | FedAvg | rounds 1 | 40.0 |" in page
    assert "| 5 | FedAvg | rounds 2 | **60.0** |" in page
