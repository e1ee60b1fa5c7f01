# SPDX-License-Identifier: Apache-2.0
"""The committed tables are what the committed records and figures say, to the last digit."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dsfedmed.cli.job import planned_settings
from dsfedmed.reporting.record import Record
from dsfedmed_benchmarks.commands.compare_methods import METHODS
from dsfedmed_benchmarks.measurement.table import Benchmark
from dsfedmed_benchmarks.migrate_records import sha256_of, undo
from dsfedmed_benchmarks.studies.ablation import METHOD, ablation_row
from dsfedmed_benchmarks.studies.ablation_rows import read_rows
from dsfedmed_benchmarks.studies.ablation_table import ablation_markdown
from dsfedmed_benchmarks.studies.archive import read_archive
from dsfedmed_benchmarks.studies.benchmark import complete_runs
from dsfedmed_benchmarks.studies.benchmark_settings import require_planned, require_same_settings
from dsfedmed_benchmarks.studies.benchmark_table import benchmark_markdown
from dsfedmed_benchmarks.studies.records import PackedRecords, tables
from tests.benchmarks.test_few_rounds_results import COMMANDS as FEW_ROUNDS

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
ARCHIVE = RESULTS / "records.tar.gz"
TABLES = {
    "breast_us": ("benchmark.md", ()),
    "few_labels": ("few_labels/benchmark.md", ("--set", "light.epochs_per_round=7")),
    "blood_cells": ("blood_cells/benchmark.md", ()),
}
"""Each table of methods by its part of the archive: its file, and what its command adds to the preset."""
ABLATED = [f"busbra_aplio300-{seed}" for seed in (0, 1, 2)]
"""Held-out site and seeds of the ablation."""


def benchmark_records(table: str) -> list[Record]:
    packed = PackedRecords(ARCHIVE, table)
    names = [name for name in packed.names() if name.partition("-")[0] in METHODS]
    return [record for name in names if (record := packed.load(name)) is not None]


def place(record: Record) -> tuple[int, tuple[str, ...], int]:
    """The order in which the command makes its runs."""
    return record.seed, record.unseen, METHODS.index(record.method)


LONG = "breast_us"
"""Its intervals of some sixty records take a minute; the other tables are made by the same code."""
BY_COST = [pytest.param(table, marks=pytest.mark.slow if table == LONG else ()) for table in TABLES]


@pytest.mark.parametrize("table", BY_COST)
def test_the_table_is_that_of_the_records(table: str) -> None:
    records = sorted(benchmark_records(table), key=place)
    assert records
    require_same_settings(records)
    written = (RESULTS / TABLES[table][0]).read_text(encoding="utf-8")
    assert benchmark_markdown(complete_runs(records), records) in written


@pytest.mark.parametrize("table", TABLES)
def test_the_presets_continue_the_table(table: str) -> None:
    """Its command makes what is lacking beside these records: they must be what it would make."""
    for record in benchmark_records(table):
        job, words = ROOT / "jobs" / record.method, ("--preset", "benchmark", *TABLES[table][1])
        require_planned(record, planned_settings(record.method, job, words))


def test_the_ablation_is_that_of_the_records() -> None:
    """Every record belongs to a row, has the settings of that row, and is in the table."""
    job, packed = ROOT / "jobs" / METHOD, PackedRecords(ARCHIVE, "breast_us")
    rows, lacking, used = [], {}, set()
    for change in read_rows(job / "ablation.yaml"):
        names = [f"{change.slug}-{fold}" for fold in ABLATED]
        found = [record for name in names if (record := packed.load(name)) is not None]
        for record in found:
            require_planned(record, planned_settings(METHOD, job, ("--preset", "benchmark", *change.words())))
        lacking[change.name] = len(names) - len(found)
        rows += [ablation_row(change.name, found, test=True)] if found else []
        used |= {record.run.name for record in found}
    others = set(packed.names()) - used
    assert {name.partition("-")[0] for name in others} <= set(METHODS)
    assert ablation_markdown(rows, lacking, test=True) in (RESULTS / "ablation.md").read_text(encoding="utf-8")


def test_the_records_of_0_3_differ_from_their_originals_in_key_names_only() -> None:
    """Renamed back, each is the file that was committed with 0.3, by its SHA-256."""
    originals = [line.split() for line in (RESULTS / "records-0.3.sha256").read_text(encoding="ascii").splitlines()]
    assert len(originals) == 60
    files = read_archive(ARCHIVE)
    changed = [path for sha256, path in originals if sha256_of(undo(json.loads(files[path]))) != sha256]
    assert changed == []
    assert all(undo(json.loads(files[path])) != json.loads(files[path]) for _, path in originals), "all had old keys"


def test_every_part_of_the_archive_has_its_table() -> None:
    assert tables(ARCHIVE) == sorted([*TABLES, *FEW_ROUNDS])


def test_the_records_name_no_file_of_a_machine() -> None:
    files = read_archive(ARCHIVE)
    assert len(files) >= 60
    for content in files.values():
        assert re.findall(r"(?<![\w.:/])(?:/[\w.-]+){2,}|file:|[A-Z]:\\\\", content.decode()) == []


@pytest.mark.parametrize("file", sorted(RESULTS.glob("*.json")), ids=lambda file: file.stem)
def test_a_performance_table_is_that_of_its_figures(file: Path) -> None:
    table = Benchmark(**json.loads(file.read_text(encoding="utf-8")))
    assert table.name == file.stem
    assert table.to_markdown() == file.with_suffix(".md").read_text(encoding="utf-8")
