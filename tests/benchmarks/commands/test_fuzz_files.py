# SPDX-License-Identifier: Apache-2.0
"""The command `fuzz-files`: damaged files are read in a child process, and what they come to is counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dsfedmed_benchmarks.cli import main
from dsfedmed_benchmarks.fuzz.damaged import damaged
from dsfedmed_benchmarks.fuzz.trial import FAULTS
from dsfedmed_benchmarks.measurement.table import Benchmark

COMMITTED = Path(__file__).resolve().parents[3] / "docs" / "results" / "fuzz_files.json"


def test_thirty_files_are_read_or_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, numbers = tmp_path / "thirty.json", [str(number) for number in range(30, 60)]
    status = main(["fuzz-files", "--only", *numbers, "--seed", "3", "--keep", str(tmp_path), "--out", str(out)])
    printed = capsys.readouterr().out
    assert status == 0, printed
    table = Benchmark(**json.loads(out.read_text(encoding="utf-8")))
    assert table.name == "thirty"
    assert out.with_suffix(".md").read_text(encoding="utf-8") == table.to_markdown()
    counts = dict(zip(table.columns, table.rows[-1], strict=True))
    assert counts["damaged"] == counts["read"] + counts["refused"] == 30
    assert counts["refused"] > 0
    (kept,) = (tmp_path / "31").iterdir()
    assert f"{kept} 31 (" in printed
    assert kept.read_bytes() == damaged(31, 3).content


@pytest.mark.parametrize("words", [["--count", "0"], ["--only", "-1"], ["--count", "1", "--out", "table.txt"]])
def test_wrong_options_are_named(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fuzz-files", *words]) == 2
    assert capsys.readouterr().err.startswith("dsfedmed_benchmarks: ")


def test_the_committed_run_has_no_fault() -> None:
    table = Benchmark(**json.loads(COMMITTED.read_text(encoding="utf-8")))
    counts = dict(zip(table.columns, table.rows[-1], strict=True))
    assert counts["damaged"] >= 2000
    assert [counts[fault] for fault in FAULTS] == [0, 0, 0, 0, 0]
    assert len(table.rows) == 10
    assert all(row[2] for row in table.rows)
