# SPDX-License-Identifier: Apache-2.0
"""Rounds, steps and bytes until FedAvg's Dice, by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dsfedmed.reporting.record import Record
from dsfedmed_benchmarks.studies.cost_to_target import CostToTarget, cost_to_target, mean_cost


def entry(stage: str, size: int, purpose: str = "method") -> dict[str, Any]:
    return {"stage": stage, "site": "a", "direction": "up", "bytes": size, "purpose": purpose}


def record(goal: float) -> Record:
    """DSFedMed: 0.4, 0.6, 0.5, 0.7 in four rounds of 10 steps; FedAvg chose round 6 of 8 with 48 steps."""
    dice = (0.4, 0.6, 0.5, 0.7)
    curve = [
        {"round": number, "local_steps": 10 * number, "validation": {"a": value - 0.1, "b": value + 0.1}}
        for number, value in enumerate(dice, start=1)
    ]
    entries = [entry("fit base", 600), entry("rounds", 400), entry("check sites", 99)]
    entries += [entry(stage, 150, "comparison") for stage in ("compare fedavg", "compare equal steps")]
    data = {
        "name": "r",
        "method": "dsfedmed",
        "sites": ["a"],
        "unseen": [],
        "verdict": "complete",
        "curves": {"dsfedmed": curve},
        "selected": {"fedavg_equal_steps": {"validation_dice": goal, "round": 6, "local_steps": 48}},
        "budgets": {"dsfedmed": {"rounds": 4}, "fedavg_equal_steps": {"rounds": 8}},
        "bytes": {"entries": entries},
    }
    return Record(Path("r"), data)


def test_shares_when_the_dice_is_first_reached() -> None:
    found = cost_to_target(record(0.55))
    assert found is not None
    assert found.rounds == pytest.approx(2 / 6), "round 2 is the first with 0.55, though round 3 falls below it again"
    assert found.steps == pytest.approx(20 / 48)
    assert found.bytes == pytest.approx((600 + 400 / 2) / (300 * 6 / 8))


def test_a_dice_that_is_not_reached_has_no_shares() -> None:
    assert cost_to_target(record(0.71)) is None
    data = {**record(0.5).data, "selected": {}}
    assert cost_to_target(Record(Path("r"), data)) is None


def test_means() -> None:
    assert mean_cost([]) is None
    assert mean_cost([CostToTarget(0.2, 0.4, 1.0), CostToTarget(0.4, 0.8, 3.0)]) == CostToTarget(
        pytest.approx(0.3), pytest.approx(0.6), 2.0
    )
