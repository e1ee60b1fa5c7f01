# SPDX-License-Identifier: Apache-2.0
"""A study's runs: what ends them, and which records count."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dsfedmed.errors import ConfigError
from dsfedmed.reporting.record import Record
from dsfedmed.settings import Settings
from dsfedmed.store.files import write_json
from dsfedmed_benchmarks.studies.records import PackedRecords, RecordFolder
from dsfedmed_benchmarks.studies.study import JobRun, Study


@pytest.mark.parametrize("end", [ConfigError("runs", "have other settings", "Move one"), KeyboardInterrupt()])
def test_an_error_or_an_interrupt_begins_no_other_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: BaseException
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(subprocess, "run", lambda words, **_: begun.append(words[-1]))

    def stop() -> None:
        raise end

    study = Study(tuple(JobRun(f"run{number}", ("true",), Settings()) for number in range(50)), tmp_path)
    with pytest.raises(type(end)):
        study.make(stop)
    assert len(begun) == 1


def record(verdict: str = "complete", seed: int = 0) -> dict[str, object]:
    return {"name": "run", "sites": ["a"], "verdict": verdict, "seed": seed, "config": Settings().to_dict()}


def run_named(name: str) -> JobRun:
    return JobRun(name, ("true",), Settings())


def test_packed_records_count_and_the_archive_is_only_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = PackedRecords(tmp_path / "r.tar.gz", "us")
    packed.add([Record(tmp_path / "known", record())])
    before = packed.archive.read_bytes()
    study = Study((run_named("known"), run_named("lacking")), tmp_path / "out", packed)
    assert [run.name for run in study.lacking()] == ["lacking"]
    written = tmp_path / "out" / "lacking" / "record.json"
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: write_json(written, record()))
    study.make(lambda: None)
    assert study.lacking() == []
    assert packed.archive.read_bytes() == before


def test_complete_records_are_copied_to_the_folder_of_records(tmp_path: Path) -> None:
    kept = RecordFolder(tmp_path / "kept")
    for name, verdict in (("one", "complete"), ("two", "incomplete: stopped")):
        write_json(tmp_path / "out" / name / "record.json", record(verdict))
    Study((run_named("one"), run_named("two")), tmp_path / "out", kept).keep()
    assert kept.names() == ["one"]


def test_a_complete_record_counts_before_an_unfinished_run(tmp_path: Path) -> None:
    kept = RecordFolder(tmp_path / "kept")
    kept.keep(Record(tmp_path / "one", record(seed=7)))
    write_json(tmp_path / "out" / "one" / "record.json", record("incomplete: stopped"))
    study = Study((run_named("one"),), tmp_path / "out", kept)
    assert [found.seed for found in study.found()] == [7]
    assert study.lacking() == []
