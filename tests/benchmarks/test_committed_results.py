# SPDX-License-Identifier: Apache-2.0
"""The committed benchmark and ablation are what the committed records say, to the last digit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dsfedmed_benchmarks.studies.ablation_rows import read_rows
from dsfedmed_benchmarks.commands.compare_methods import METHODS
from dsfedmed.cli.job import planned_settings
from dsfedmed_benchmarks.studies.ablation import METHOD, ablation_row
from dsfedmed_benchmarks.studies.ablation_table import ablation_markdown
from dsfedmed_benchmarks.studies.benchmark import complete_runs
from dsfedmed_benchmarks.studies.benchmark_settings import require_one_recipe, require_planned
from dsfedmed_benchmarks.studies.benchmark_table import benchmark_markdown
from dsfedmed.reporting.record import Record, load_record

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "custom" / "dsfedmed" / "benchmarks" / "results"
TABLES = {"": (), "few_labels": ("--set", "light.epochs_per_round=7"), "blood_cells": ()}
"""Folder of each committed table of methods, and what its command adds to the preset."""
ABLATED = [f"busbra_aplio300-{seed}" for seed in (0, 1, 2)]
"""Held-out site and seeds of the ablation."""


def benchmark_records(table: str) -> list[Record]:
    folders = (RESULTS / table / "records").iterdir()
    return [load_record(folder) for folder in folders if folder.name.partition("-")[0] in METHODS]


def place(record: Record) -> tuple[int, tuple[str, ...], int]:
    """The order in which the command makes its runs."""
    return record.seed, record.unseen, METHODS.index(record.method)


@pytest.mark.parametrize("table", TABLES)
def test_the_table_is_that_of_the_records(table: str) -> None:
    records = sorted(benchmark_records(table), key=place)
    assert records
    require_one_recipe(records)
    written = (RESULTS / table / "benchmark.md").read_text(encoding="utf-8")
    assert benchmark_markdown(complete_runs(records), records) in written


@pytest.mark.parametrize("table", TABLES)
def test_the_presets_go_on_with_the_table(table: str) -> None:
    """Its command makes what is lacking beside these records: they must be what it would make."""
    for record in benchmark_records(table):
        job = ROOT / "jobs" / record.method
        require_planned(record, planned_settings(record.method, job, ("--preset", "benchmark", *TABLES[table])))


def test_the_ablation_is_that_of_the_records() -> None:
    """Every record belongs to a row, has the settings of that row, and is in the table."""
    job, rows, lacking, used = ROOT / "jobs" / METHOD, [], {}, set()
    for change in read_rows(job / "ablation.yaml"):
        names = [f"{change.slug}-{fold}" for fold in ABLATED]
        there = [name for name in names if (RESULTS / "records" / name).exists()]
        found = [load_record(RESULTS / "records" / name) for name in there]
        for record in found:
            require_planned(record, planned_settings(METHOD, job, ("--preset", "benchmark", *change.words())))
        lacking[change.name] = len(names) - len(there)
        rows += [ablation_row(change.name, found, test=True)] if found else []
        used |= set(there)
    others = {folder.name for folder in (RESULTS / "records").iterdir()} - used
    assert {name.partition("-")[0] for name in others} <= set(METHODS)
    assert ablation_markdown(rows, lacking, test=True) in (RESULTS / "ablation.md").read_text(encoding="utf-8")


def test_the_records_name_no_file_of_a_machine() -> None:
    for file in RESULTS.rglob("record.json"):
        text = file.read_text(encoding="utf-8")
        assert re.findall(r"(?<![\w.:/])(?:/[\w.-]+){2,}|file:|[A-Z]:\\\\", text) == []
