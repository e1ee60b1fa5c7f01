# SPDX-License-Identifier: Apache-2.0
"""The command `pack-records`: complete runs go into the archive, and tables are built from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed.store.files import write_json
from dsfedmed_benchmarks.cli import main
from dsfedmed_benchmarks.studies.records import PackedRecords


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name, verdict in (("one", "complete"), ("two", "incomplete: site a left"), ("three", "complete")):
        write_json(tmp_path / "runs" / name / "record.json", {"name": name, "sites": ["a"], "verdict": verdict})
    (tmp_path / "runs" / "notes.txt").write_text("no run")
    return tmp_path / "runs"


def test_complete_runs_are_packed_and_others_named(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pack-records", str(runs), "--into", str(tmp_path / "r.tar.gz" / "us")]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "left out: two, incomplete: site a left" in out
    assert "2 of 2 records are new" in out
    assert PackedRecords(tmp_path / "r.tar.gz", "us").names() == ["one", "three"]
    assert main(words) == 0
    assert "0 of 2 records are new" in capsys.readouterr().out


def test_another_content_needs_a_word(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["pack-records", str(runs), "--into", str(tmp_path / "r.tar.gz" / "us")]
    assert main(words) == 0
    write_json(runs / "one" / "record.json", {"name": "one", "sites": ["a", "b"], "verdict": "complete"})
    assert main(words) == 2
    assert "--replace" in capsys.readouterr().err
    assert main([*words, "--replace"]) == 0
    assert "1 of 2 records are new" in capsys.readouterr().out


def test_folders_and_archives_that_do_not_serve_are_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["pack-records", str(tmp_path / "empty"), "--into", str(tmp_path / "r.tar.gz" / "us")]) == 2
    assert "holds no complete run" in capsys.readouterr().err
    assert main(["pack-records", str(runs), "--into", str(tmp_path / "kept")]) == 2
    assert "is no part of an archive" in capsys.readouterr().err
    assert not (tmp_path / "r.tar.gz").exists()
