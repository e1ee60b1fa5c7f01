# SPDX-License-Identifier: Apache-2.0
"""The distillation benchmark: a table that adds up."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed_benchmarks.performance.distillation import WAYS, Options, run

BUNDLES = Path(__file__).parents[3] / "bundles"


def test_the_table_adds_up() -> None:
    table = run(Options(scale="tiny", epochs=4, epochs_measured=1, samples=4, bundles=BUNDLES))
    assert table.name == "distillation-tiny"
    assert [row[0] for row in table.rows] == [way.name for way in WAYS]
    opponent = table.rows[0][3]
    for _, once, epoch, total, per_sample, ratio, wall in table.rows:
        assert total == pytest.approx(once + 4 * epoch)
        assert per_sample == pytest.approx(1000 * epoch / 4)
        assert ratio == pytest.approx(opponent / total)
        assert wall > 0
    assert "1 of 4 epochs were measured, after one that is not counted" in table.notes[1]
