# SPDX-License-Identifier: Apache-2.0
"""The round that each rule chooses, by hand; the committed table is that of the committed records."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from dsfedmed.algorithms.robust.bounded_mean import bounded_mean
from dsfedmed_benchmarks.performance.selection import chosen, compared, run

ROOT = Path(__file__).resolve().parents[3]


def curve(*rounds: tuple[float, float, float]) -> list[dict[str, object]]:
    return [
        {"round": number, "validation": dict(zip("abc", dice, strict=True))}
        for number, dice in enumerate(rounds, start=1)
    ]


def test_one_site_alone_does_not_choose() -> None:
    honest = curve((0.5, 0.5, 0.5), (0.6, 0.6, 0.55), (0.55, 0.55, 1.0))
    assert chosen(honest, statistics.fmean)["round"] == 3
    assert chosen(honest, bounded_mean)["round"] == 2
    assert compared(honest) == (3, True, statistics.fmean([0.6, 0.6, 0.55]) - statistics.fmean([0.55, 0.55, 1.0]))


def test_a_training_without_validation_says_nothing() -> None:
    assert compared([{"round": 1, "validation": {}}]) is None


def test_the_committed_table_is_that_of_the_records() -> None:
    kept = json.loads((ROOT / "docs/results/selection.json").read_text(encoding="utf-8"))
    assert [list(row) for row in run(ROOT / "docs/results/records.tar.gz").rows] == kept["rows"]
