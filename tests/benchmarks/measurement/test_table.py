# SPDX-License-Identifier: Apache-2.0
import json

import pytest

from dsfedmed.errors import DSFedMedError
from dsfedmed_benchmarks.measurement.table import Benchmark, environment

ROWS = (("released loop", 310.4567, 1_000_000, None), ("ours, 50 %", 0.25, 3, "10 to 1"))


def table(**changes) -> Benchmark:
    values = {
        "name": "speed",
        "title": "How fast",
        "columns": ("way", "seconds", "bytes", "note"),
        "rows": ROWS,
        "notes": ("One run.",),
        "environment": {"date": "2026-01-02", "threads": 2},
    }
    return Benchmark(**{**values, **changes})


def test_markdown_shows_numbers_to_four_digits_and_to_the_right():
    assert table().to_markdown().splitlines() == [
        "## How fast",
        "",
        "| way | seconds | bytes | note |",
        "| --- | ---: | ---: | --- |",
        "| released loop | 310.5 | 1,000,000 |  |",
        "| ours, 50 % | 0.25 | 3 | 10 to 1 |",
        "",
        "- One run.",
        "- date 2026-01-02, threads 2",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12345.6, "12,346"),
        (1234.5, "1,234"),
        (0.0012345, "0.001234"),
        (0.0, "0"),
        (1e-5, "0.000010"),
        (2.0, "2"),
        (-15.25, "-15.25"),
    ],
)
def test_floats_never_come_in_powers_of_ten(value, text):
    assert f"| {text} |" in table(columns=("a",), rows=((value,),)).to_markdown()


def test_write_puts_the_same_table_into_json(tmp_path):
    paths = table().write(tmp_path / "bench")
    assert [path.name for path in paths] == ["speed.json", "speed.md"]
    written = json.loads(paths[0].read_text())
    assert written["rows"] == [list(row) for row in ROWS]
    assert written["environment"]["threads"] == 2
    assert paths[1].read_text() == table().to_markdown()


def test_a_row_of_another_width_is_refused():
    with pytest.raises(DSFedMedError, match="2 cells for 4 columns"):
        table(rows=(("short", 1),))


def test_environment_names_machine_and_versions():
    facts = environment(samples=4)
    assert facts["samples"] == 4
    assert facts["threads"] >= 1
    assert facts["cores"] >= 1
    assert facts["device"] == "cpu"
    assert facts["cpu"]
    assert len(facts["date"]) == 10
