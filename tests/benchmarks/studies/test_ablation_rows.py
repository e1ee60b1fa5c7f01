# SPDX-License-Identifier: Apache-2.0
"""The rows of an ablation: what they change, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from dsfedmed.errors import ConfigError
from dsfedmed.settings import Settings, merge, parse_override, read_preset
from dsfedmed_benchmarks.studies.ablation_rows import AblationChange, read_rows

JOB = Path(__file__).parents[3] / "jobs" / "dsfedmed"


def test_a_change_becomes_the_jobs_arguments() -> None:
    change = AblationChange("Paper's order, late", {"schedule": {"order": "paper", "epochs": 20}, "rounds": 3})
    assert change.slug == "paper_s_order_late"
    assert change.words() == ["--set", "schedule.order=paper", "--set", "schedule.epochs=20", "--set", "rounds=3"]


def test_every_row_beside_the_job_changes_the_preset() -> None:
    base = read_preset(JOB / "presets" / "benchmark.yaml")
    rows = read_rows(JOB / "ablation.yaml")
    plain = Settings.from_dict(merge(base, rows[0].set))
    assert rows[0].name == "default"
    assert replace(plain, compare=Settings.from_dict(base).compare) == Settings.from_dict(base)
    for change in rows:
        values = base
        for text in change.words()[1::2]:
            values = merge(values, parse_override(text))
        changed = Settings.from_dict(values)
        assert (changed == plain) == (change.name == "default" or not change.teacher_weights), change.name


def test_what_all_rows_have_is_part_of_each(tmp_path: Path) -> None:
    (tmp_path / "rows.yaml").write_text("set: {a: {b: 1, c: 2}}\nrows: [{name: x}, {name: y, set: {a: {c: 3}}}]")
    assert [row.set for row in read_rows(tmp_path / "rows.yaml")] == [{"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("rows: 3", "no list `rows`"),
        ("rows: []", "no list `rows`"),
        ("rows: [{set: {}}]", "no list `rows`"),
        ("rows: [{name: a, sets: {}}]", "Did you mean 'set'"),
        ("rows: [{name: a b}, {name: A-b}]", "more than one row"),
        ("rows: [", "cannot be read"),
        ("{rows: [{name: a}], sets: {}}", "has a key 'sets'"),
    ],
)
def test_a_file_that_is_no_list_of_rows_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "rows.yaml").write_text(content)
    with pytest.raises(ConfigError, match=said):
        read_rows(tmp_path / "rows.yaml")


def test_values_survive_the_command_line() -> None:
    settings = {"a": {"rate": 1.0e6, "kind": "top", "flag": False, "list": [1, 2]}}
    words = AblationChange("x", settings).words()[1::2]
    values: dict[str, object] = {}
    for text in words:
        values = merge(values, parse_override(text))
    assert values == settings, yaml.safe_dump(words)
