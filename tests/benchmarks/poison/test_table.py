# SPDX-License-Identifier: Apache-2.0
"""Outcomes are kept one by one, and the table is made of them by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed_benchmarks.poison.federation import ATTACKS, HONEST, WITHOUT, Outcome
from dsfedmed_benchmarks.poison.table import RULES, Cell, Cells, table_of

DICE = {"a": 0.8, "b": 0.6, "bad": 0.2}


def outcome(dice: dict[str, float], refused: list[tuple[int, str, str]] | None = None) -> Outcome:
    return Outcome(dice, 3, refused or [], "complete", 1.0)


def test_a_table_by_hand(tmp_path: Path) -> None:
    cells = Cells(tmp_path / "cells")
    honest, without = Cell("a", HONEST, "default", 2, 0), Cell("bad", WITHOUT, "default", 2, 0)
    attacked, missing = Cell("bad", "zeros", "default", 2, 0), Cell("bad", "zeros", "none", 2, 0)
    cells.keep(honest, outcome(DICE))
    cells.keep(without, outcome({"a": 0.7, "b": 0.5}))
    cells.keep(attacked, outcome({**DICE, "a": 0.6}, [(1, "bad", "x"), (2, "bad", "y"), (2, "b", "z")]))
    rows = [list(row) for row in table_of("t", cells, [honest, without, attacked, missing]).rows]
    assert rows == [
        ["none", "honest", "default", 53.3, None, None, "0 / 0", "complete"],
        ["bad", "without it", "default", 60.0, 0.0, -10.0, "0 / 0", "complete"],
        ["bad", "zeros", "default", 60.0, 0.0, -10.0, "2 / 1", "complete"],
    ]
    assert "1 are not there" in " ".join(table_of("t", cells, [honest, missing]).notes)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_settings_and_every_cell_a_file_of_its_own(rule: str) -> None:
    cells = [Cell("a", behaviour, rule, 2, 0) for behaviour in ATTACKS]
    assert len({cell.name for cell in cells}) == len(ATTACKS)
    assert cells[0].settings().rounds == 2
