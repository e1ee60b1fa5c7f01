# SPDX-License-Identifier: Apache-2.0
"""The committed tables of few rounds are what their command makes of the committed records, to the last digit."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed.store.files import write_json
from dsfedmed_benchmarks.cli import main

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results" / "few_rounds"
NUCLEI = ("fluo256", "fluo360", "fluo696", "histology")
COMMANDS = {
    "nuclei": (NUCLEI, ("--unseen", "fluo360", "--seeds", "0", "--rounds", "0", "5", "20")),
    "nuclei_leaving": (
        NUCLEI,
        ("--unseen", "fluo360", "--seeds", "0", "--rounds", "20", "--leave", "histology=7",
         "--arms", str(ROOT / "jobs" / "dsfedmed" / "leaving.yaml")),
    ),
}  # fmt: skip
"""Each table by its part of the archive: its sites, and the words of its command."""


@pytest.mark.parametrize("part", COMMANDS)
def test_the_table_is_what_the_command_makes_of_the_records(part: str, tmp_path: Path) -> None:
    sites, words = COMMANDS[part]
    for site in sites:
        write_json(tmp_path / "sites" / site / "datalist.json", {})
    records = RESULTS.parent / "records.tar.gz" / part
    main(["few-rounds", "--sites", str(tmp_path / "sites"), "--out", str(tmp_path / "out"), "--jobs",
          str(ROOT / "jobs"), "--records", str(records), "--only-table", *words])  # fmt: skip
    made = (tmp_path / "out" / "few_rounds.md").read_text(encoding="utf-8")
    assert made == (RESULTS / f"{part}.md").read_text(encoding="utf-8")
    assert (tmp_path / "out" / "few_rounds-fluo360.svg").stat().st_size > 0
