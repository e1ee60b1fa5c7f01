# SPDX-License-Identifier: Apache-2.0
"""The ablation's rows by hand: gains by validation, test figures on demand alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.reporting.record import Record
from dsfedmed_benchmarks.studies.ablation import ablation_row
from dsfedmed_benchmarks.studies.ablation_table import ablation_markdown
from dsfedmed_benchmarks.studies.cost_to_target import CostToTarget


def case(dice: float, number: int) -> dict[str, Any]:
    return {"dice": [dice], "iou": [dice / 2], "hd95": [1.0], "case": number}


def record(seed: int, ours: float, rounds: float, steps: float) -> Record:
    """A run whose validation Dice are given; on test images DSFedMed is 0.1 better seen and 0.2 worse unseen."""
    arms = {"dsfedmed": ours, "fedavg": rounds, "fedavg_equal_steps": steps}
    tested = {arm: {"a": [case(0.5, 0), case(0.7, 1)], "b": [case(0.6, 0)]} for arm in arms}
    tested["dsfedmed"] = {"a": [case(0.6, 0), case(0.8, 1)], "b": [case(0.4, 0)]}
    data = {
        "name": f"default-b-{seed}",
        "method": "dsfedmed",
        "seed": seed,
        "sites": ["a"],
        "unseen": ["b"],
        "verdict": "complete",
        "selected": {arm: {"validation_dice": dice} for arm, dice in arms.items()},
        "cases": {**tested, "teacher": {"a": [case(0.3, 0), case(0.5, 1)]}},
        "stages": [{"name": "rounds", "seconds": 60 + seed}, {"name": "compare fedavg", "seconds": 500}],
    }
    return Record(Path(f"default-b-{seed}"), data)


def test_a_row_is_the_mean_gain_in_validation_dice() -> None:
    row = ablation_row("default", [record(0, 0.80, 0.78, 0.81), record(2, 0.82, 0.78, 0.81)])
    assert row.validation is not None
    assert row.validation.mean == pytest.approx(81.0)
    equal_rounds, equal_steps = row.gains["equal_rounds"], row.gains["equal_steps"]
    assert equal_rounds is not None
    assert equal_steps is not None
    assert equal_rounds.mean == pytest.approx(3.0)
    assert equal_steps.mean == pytest.approx(0.0)
    assert equal_steps.half == pytest.approx(12.706 * 1.0, rel=1e-3), (
        "t of one degree of freedom, 1 point standard error"
    )
    assert row.seconds == pytest.approx(61.0), "the comparison's time is not the method's"


def test_test_figures_are_read_on_demand_alone() -> None:
    records = [record(0, 0.8, 0.8, 0.8), record(1, 0.8, 0.8, 0.8)]
    hidden = ablation_row("default", records)
    assert set(hidden.tests.values()) == {None}
    assert hidden.teacher == (None, None)
    assert "test" not in ablation_markdown([hidden], {}).lower()
    shown = ablation_row("default", records, test=True)
    seen, unseen = shown.tests["equal_steps", "seen"], shown.tests["equal_steps", "unseen"]
    assert seen is not None
    assert unseen is not None
    assert (seen.mean, seen.low, seen.high) == pytest.approx((10.0, 10.0, 10.0))
    assert unseen.mean == pytest.approx(-20.0)
    assert shown.teacher == (None, pytest.approx(40.0))
    table = ablation_markdown([shown], {"all samples": 2, "default": 0}, test=True)
    assert (
        "| default | 80.0 ± 0.0 | +0.0 ± 0.0 | +0.0 ± 0.0 | 0 of 2 | +10.0 [+10.0, +10.0] | -20.0 [-20.0, -20.0] |"
        in table
    )
    assert "| -, 40.0 | 1 min 00 s | 2 |" in table
    assert "Runs that are not complete: all samples (2)." in table
    early = replace(shown, reached=1, cost=CostToTarget(0.4, 0.5, 1.75))
    assert "| +0.0 ± 0.0 | 1 of 2: 40 % of the rounds, 175 % of the bytes |" in ablation_markdown([early], {})
