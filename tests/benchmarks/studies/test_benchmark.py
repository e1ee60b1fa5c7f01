# SPDX-License-Identifier: Apache-2.0
"""The benchmark's rows by hand: means with t intervals, bytes a site, times."""

from __future__ import annotations

import pytest

from dsfedmed.reporting.methods import BY_KEY
from dsfedmed_benchmarks.studies.benchmark import benchmark_rows, complete_runs, cost_of, mean_over
from tests.benchmarks.studies.runs import record


def test_costs_by_hand() -> None:
    """The final test is nobody's cost: it only serves the table."""
    assert cost_of(record(0, 0.6, 0.5), BY_KEY["pfedsam"]) == (200.0, 10.0)
    assert cost_of(record(0, 0.6, 0.5), BY_KEY["fedsam"]) == (4000.0, 20.0)


def test_rows_by_hand() -> None:
    rows = {row.method.key: row for row in benchmark_rows(complete_runs([record(0, 0.6, 0.5), record(1, 0.7, 0.5)]))}
    assert list(rows) == ["fedsam", "pfedsam"], "in the order of all reports"
    seen = rows["pfedsam"].figures["seen_dice"]
    assert seen.mean == pytest.approx(65.0)
    assert seen.half == pytest.approx(12.706 * 7.0711 / 2**0.5, rel=1e-3), "t of one degree of freedom"
    assert rows["pfedsam"].figures["unseen_dice"].half == pytest.approx(0.0)
    assert rows["pfedsam"].inference_ms == pytest.approx(4.5)
    assert rows["pfedsam"].parameters == 1000


def test_one_run_has_no_interval_and_none_no_mean() -> None:
    assert mean_over([]) is None
    assert mean_over([3.0]).half is None
