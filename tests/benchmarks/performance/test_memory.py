# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dsfedmed_benchmarks.performance.memory import COLUMNS, row_of


def test_a_row_has_the_highest_peak_and_leaves_the_wait_out():
    rounds = [
        {"seconds": 9.0, "waited": 1.0, "peak_mib": 130.0, "end_mib": 110.0},
        {"seconds": 5.0, "waited": 3.0, "peak_mib": 150.0, "end_mib": 110.0},
        {"seconds": 7.0, "waited": 3.0, "peak_mib": 140.0, "end_mib": 110.0},
    ]
    row = row_of(8, {"start_mib": 100.0, "rounds": rounds})
    assert row == [8, 100.0, 150.0, 50.0, 3.0]
    assert len(row) == len(COLUMNS)
