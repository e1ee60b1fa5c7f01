# SPDX-License-Identifier: Apache-2.0
"""A third model that was clearly better than the pair is named; one that hospitals cannot choose is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.reporting.advice.others import best_other
from dsfedmed.reporting.record import load_record
from dsfedmed.reporting.results import build_results, write_results
from tests.reporting.advice.test_block import BOTH
from tests.reporting.test_results import small

MakeRun = Callable[..., Path]


def with_models(**dice: float | dict[str, float]) -> dict[str, Any]:
    """Return a record in which further models have this Dice at every image, or by site."""
    data = small(budgets=BOTH)
    ours = data["cases"]["dsfedmed"]
    for key, value in dice.items():
        of = value if isinstance(value, dict) else dict.fromkeys(ours, value)
        data["cases"][key] = {site: [{**case, "dice": [of[site]]} for case in found] for site, found in ours.items()}
    return data


def test_local_only_is_named_where_it_was_the_best(make_run: MakeRun) -> None:
    results = write_results(load_record(make_run(with_models(local=1.0))))
    advice = results["advice"]
    assert (advice["use"], advice["outcome"], advice["by"]) == ("local", "better", "equal_rounds")
    said = advice["sentence"]
    assert said.startswith(
        "Use Local only (light network trained at each site alone, no federation): it was better than DSFedMed on the"
    )
    assert said.endswith("With as many rounds DSFedMed was better than FedAvg.")


def test_the_best_of_several_is_taken(make_run: MakeRun) -> None:
    results = build_results(load_record(make_run(with_models(local=0.97, fedprox=0.99))))
    assert results["advice"]["use"] == "fedprox"


@pytest.mark.parametrize(
    "others",
    [
        {"local": 0.0},
        {"centralised": 1.0},
        {"teacher": 1.0, "teacher_before": 1.0},
        {"local": {"a": 1.0, "b": 1.0, "d": 0.0}},  # better where it took part, and worse on the unseen site
    ],
)
def test_others_change_nothing(others: dict[str, Any], make_run: MakeRun) -> None:
    plain = build_results(load_record(make_run(with_models(), "plain")))["advice"]
    assert build_results(load_record(make_run(with_models(**others))))["advice"] == plain


def test_an_untrained_one_is_no_choice(make_run: MakeRun) -> None:
    data = with_models(local=1.0)
    record = load_record(make_run(data))
    assert best_other(record, ["dsfedmed"]) is not None
    data["budgets"] = {**BOTH, "local": {"rounds": 0, "local_steps": 0}}
    untrained = load_record(make_run(data, "untrained"))
    assert "local" in untrained.untrained
    assert best_other(untrained, ["dsfedmed"]) is None


def test_it_has_to_beat_all_that_are_named(make_run: MakeRun) -> None:
    record = load_record(make_run(with_models(local=1.0, fedprox=1.0)))
    assert best_other(record, ["fedprox"]) is None
    assert best_other(record, ["dsfedmed", "fedprox"]) is None
    found = best_other(record, ["dsfedmed", "fedavg"])
    assert found is not None
    assert found[0] in ("local", "fedprox")
