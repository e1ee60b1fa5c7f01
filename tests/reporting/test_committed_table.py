# SPDX-License-Identifier: Apache-2.0
"""The committed benchmark is what the committed records say, to the last digit."""

from __future__ import annotations

import re
from pathlib import Path

from dsfedmed.cli.benchmark import METHODS
from dsfedmed.federated.job import planned_settings
from dsfedmed.reporting.benchmark import complete_runs
from dsfedmed.reporting.benchmark_recipe import require_one_recipe, require_planned
from dsfedmed.reporting.benchmark_table import benchmark_markdown
from dsfedmed.reporting.record import Record, load_record

RESULTS = Path(__file__).parents[2] / "custom" / "dsfedmed" / "benchmarks" / "results"


def place(record: Record) -> tuple[int, tuple[str, ...], int]:
    """The order in which the command makes its runs."""
    return record.seed, record.unseen, METHODS.index(record.method)


def test_the_table_is_that_of_the_records() -> None:
    records = sorted((load_record(folder) for folder in (RESULTS / "records").iterdir()), key=place)
    assert records
    require_one_recipe(records)
    assert benchmark_markdown(complete_runs(records), records) in (RESULTS / "benchmark.md").read_text(encoding="utf-8")


def test_the_presets_go_on_with_the_table() -> None:
    """Its command makes what is lacking beside these records: they must be what it would make."""
    jobs = Path(__file__).parents[2] / "jobs"
    for folder in (RESULTS / "records").iterdir():
        record = load_record(folder)
        require_planned(record, planned_settings(record.method, jobs / record.method, ("--preset", "benchmark")))


def test_the_records_name_no_file_of_a_machine() -> None:
    for folder in (RESULTS / "records").iterdir():
        text = (folder / "record.json").read_text(encoding="utf-8")
        assert re.findall(r"(?<![\w.:/])(?:/[\w.-]+){2,}|file:|[A-Z]:\\\\", text) == []
