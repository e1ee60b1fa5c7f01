# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.errors import StoreError
from dsfedmed.reporting.record import load_record


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
