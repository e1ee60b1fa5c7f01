# SPDX-License-Identifier: Apache-2.0
"""Cases side by side, and what means hide."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsfedmed.reporting.page.cases import overlays
from dsfedmed.reporting.page.image_by_image import image_by_image
from dsfedmed.reporting.record import load_record
from dsfedmed.reporting.results import build_results, write_results

MakeRun = Callable[..., Path]


def test_a_case_is_shown_under_every_method_worst_for_us_first(built_run: Path) -> None:
    body = overlays(load_record(built_run)).body
    titles = re.findall(r"<h4>([^<]*)</h4>", body)
    assert titles[:3] == [
        "Worst against FedAvg: \N{MINUS SIGN}20.0 Dice points (case0002)",
        "Best against FedAvg: +5.0 Dice points (case0000)",
        "Middle against FedAvg: 0.0 Dice points (case0001)",
    ]
    first = body.split("<h4>")[1]
    assert re.findall(r"<b>([^<]*)</b><span>([^<]*)</span>", first) == [
        ("FedAvg", "Dice 51.0 %"), ("DSFedMed", "Dice 31.0 %"), ("Teacher after", "Dice 31.0 %"),
    ]  # fmt: skip
    assert len(titles) == 12


def counts(missed: int) -> list[dict[str, int]]:
    return [{"present": 20, "missed": missed, "false_alarms": 1}]


def test_missed_lesions_and_false_alarms_by_method_and_site(make_run: MakeRun, record: dict[str, Any]) -> None:
    detected = {
        "dsfedmed": {"busi": counts(3), "logiq7": counts(0)},
        "fedavg": {"busi": counts(2), "nowhere": counts(1)},
    }
    run = make_run({**record, "detected": detected})
    results = write_results(load_record(run))
    assert results["detected"]["dsfedmed"]["busi"] == [{"present": 20, "absent": 4, "missed": 3, "false_alarms": 1}]
    assert "nowhere" not in results["detected"]["fedavg"]
    body = image_by_image(load_record(run), results).body
    assert "<span>missed 3 of 20</span><small>false alarms 1 of 4</small>" in body
    assert body.index("missed 2 of 20") < body.index("missed 3 of 20"), "in the order of the tables"


def test_several_classes_have_a_table_each(make_run: MakeRun, make_record: Callable[..., dict[str, Any]]) -> None:
    two = [*counts(1), {"present": 24, "missed": 5, "false_alarms": 0}]
    run = make_run({**make_record(classes=2), "detected": {"dsfedmed": {"busi": two}}})
    body = image_by_image(load_record(run), build_results(load_record(run))).body
    assert re.findall("<h4>([^<]*)", body) == ["cytoplasm", "nucleus"]
    assert "<span>missed 5 of 24</span><small>none without it</small>" in body


def test_without_counts_it_is_said(make_run: MakeRun, record: dict[str, Any]) -> None:
    run = make_run(record)
    assert "The sites have sent no counts." in image_by_image(load_record(run), build_results(load_record(run))).body
