# SPDX-License-Identifier: Apache-2.0
"""The command `seeds-table`: from run folders to a table, on the terminal or in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed.reporting.record import load_record
from dsfedmed.reporting.results import write_results
from dsfedmed_benchmarks.cli import main
from tests.reporting.conftest import fake_record, write_run


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_run(tmp_path / f"run{seed}", fake_record(seed=seed)) for seed in range(2)]
    assert main(["seeds-table", *map(str, runs)]) == 2  # no results yet
    assert "dsfedmed report" in capsys.readouterr().err
    for run in runs:
        write_results(load_record(run))
    assert main(["seeds-table", *map(str, runs), "--out", str(tmp_path / "table.md")]) == 0
    assert capsys.readouterr().out == ""
    assert main(["seeds-table", *map(str, runs)]) == 0
    assert capsys.readouterr().out == (tmp_path / "table.md").read_text(encoding="utf-8")
