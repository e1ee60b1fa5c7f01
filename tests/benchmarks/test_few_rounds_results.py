# SPDX-License-Identifier: Apache-2.0
"""The committed tables of few rounds are what their command makes of the committed records, to the last digit."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from dsfedmed.store.files import write_json
from dsfedmed_benchmarks.cli import main
from dsfedmed_benchmarks.commands.few_rounds import Comparison, configure
from dsfedmed_benchmarks.studies.benchmark_settings import require_planned
from dsfedmed_benchmarks.studies.records import PackedRecords
from dsfedmed_benchmarks.studies.tuned.arms import read_arms

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results" / "few_rounds"
NUCLEI = ("fluo256", "fluo360", "fluo696", "histology")
COMMANDS = {
    "nuclei": ("--rounds", "0", "5"),
    "nuclei_baselines": ("--rounds", "5", "--arms", str(ROOT / "jobs" / "baselines" / "few_rounds.yaml")),
    "nuclei_leaving": (
        "--rounds", "5", "--leave", "histology=2", "--arms", str(ROOT / "jobs" / "dsfedmed" / "leaving.yaml"),
    ),
}  # fmt: skip
"""Each table by its part of the archive: the words of its command."""


@pytest.mark.parametrize("part", COMMANDS)
def test_the_table_is_what_the_command_makes_of_the_records(part: str, tmp_path: Path) -> None:
    for site in NUCLEI:
        write_json(tmp_path / "sites" / site / "datalist.json", {})
    records = RESULTS.parent / "records.tar.gz" / part
    main(["few-rounds", "--sites", str(tmp_path / "sites"), "--out", str(tmp_path / "out"), "--jobs",
          str(ROOT / "jobs"), "--records", str(records), "--only-table", "--unseen", "fluo360", "--seeds", "0",
          *COMMANDS[part]])  # fmt: skip
    made = (tmp_path / "out" / "few_rounds.md").read_text(encoding="utf-8")
    assert made == (RESULTS / f"{part}.md").read_text(encoding="utf-8")
    assert (tmp_path / "out" / "few_rounds-fluo360.svg").stat().st_size > 0


@pytest.mark.parametrize("part", COMMANDS)
def test_the_command_continues_the_records(part: str, tmp_path: Path) -> None:
    """What is lacking is made beside these records: they must be what the command would make."""
    for site in NUCLEI:
        write_json(tmp_path / "sites" / site / "datalist.json", {})
    parser = argparse.ArgumentParser()
    configure(parser)
    words = ("--sites", str(tmp_path / "sites"), "--out", str(tmp_path), "--jobs", str(ROOT / "jobs"))
    args = parser.parse_args([*words, "--unseen", "fluo360", "--seeds", "0", *COMMANDS[part]])
    arms = read_arms(args.arms or ROOT / "jobs" / "dsfedmed" / "few_rounds.yaml")
    runs = {run.name: run for run in Comparison(args, arms).grids()}
    packed = PackedRecords(RESULTS.parent / "records.tar.gz", part)
    assert set(packed.names()) <= runs.keys()
    for name in packed.names():
        record = packed.load(name)
        assert record is not None
        require_planned(record, runs[name].planned)
