# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.errors import StoreError
from dsfedmed.reporting.record import load_record, parse_record
from dsfedmed.reporting.results import build_results
from dsfedmed.site_names import plain_name


def test_a_complete_record_misses_nothing(make_run: Callable[..., Path]) -> None:
    record = load_record(make_run())
    assert record.missing() == []
    assert record.complete
    assert record.all_sites == ("busi", "logiq7", "logiq5", "aplio300")
    assert len(record.cases["dsfedmed"]["busi"]) == 24


def test_what_is_not_there_is_said(make_run: Callable[..., Path], record: dict[str, Any]) -> None:
    del record["cases"]["teacher"]["aplio300"], record["audit"], record["verdict"]
    found = load_record(make_run(record))
    assert found.missing() == [
        "Teacher after: no test figures of aplio300",
        "the sites' audit of the synthetic set (record has no 'audit')",
    ]
    assert found.verdict.startswith("incomplete")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "no run record"), ("{", "is not JSON"), ("[]", "does not name"), ('{"sites": "a"}', "does not name")],
)
def test_unusable_files_name_the_file(tmp_path: Path, content: str | None, reason: str) -> None:
    if content is not None:
        (tmp_path / "record.json").write_text(content, encoding="utf-8")
    with pytest.raises(StoreError, match=reason) as caught:
        load_record(tmp_path)
    assert caught.value.where == str(tmp_path / "record.json")


def test_a_test_figure_that_is_no_number_names_method_and_site(
    make_run: Callable[..., Path], record: dict[str, Any]
) -> None:
    record["cases"]["fedavg"]["busi"][3]["hd95"] = [float("nan")]
    with pytest.raises(StoreError, match=r"cases\.fedavg\.busi.*finite"):
        _ = load_record(make_run(record)).cases


def test_sites_are_called_by_their_own_names_and_their_folders_by_the_plain_ones(
    make_run: Callable[..., Path], make_record: Callable[..., dict[str, Any]]
) -> None:
    plain = plain_name("Klinik Süd")
    text = json.dumps(make_record()).replace('"busi"', f'"{plain}"')
    named = {**json.loads(text), "site_names": {plain: "Klinik Süd"}, "verdict": f"incomplete: {plain} has left"}
    record = parse_record(json.dumps(named).encode(), Path("run"))
    assert record.sites == ("Klinik Süd", "logiq7", "logiq5")
    assert record.verdict == "incomplete: Klinik Süd has left"
    assert "Klinik Süd" in record.cases["fedavg"]
    assert record.names_that_travel["Klinik Süd"] == plain
    assert record.names_that_travel["logiq7"] == "logiq7"
    results = build_results(record)
    assert results["site_names"] == record.names_that_travel
    assert results["methods"]["fedavg"]["per_site"].keys() == {"Klinik Süd", "logiq7", "logiq5", "aplio300"}


@pytest.mark.parametrize(("key", "value"), [("budgets", [1]), ("stages", {"a": 1}), ("stages", [1]), ("facts", "x")])
def test_a_part_of_another_kind_names_file_and_part(
    make_run: Callable[..., Path], record: dict[str, Any], key: str, value: Any
) -> None:
    run = make_run({**record, key: value})
    with pytest.raises(StoreError, match=rf"record\.json, {key}: is not what a run writes there"):
        build_results(load_record(run))
