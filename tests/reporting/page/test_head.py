# SPDX-License-Identifier: Apache-2.0
"""The head of the page: what to use, whose images are made up, and whether the run is complete, apart from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.reporting.page.overview import header
from dsfedmed.reporting.page.words import WORDS, words
from dsfedmed.reporting.record import load_record
from dsfedmed.reporting.results import build_results
from dsfedmed.reporting.terminal import summary_text
from tests.reporting.test_results import small

MakeRun = Callable[..., Path]


def head(make_run: MakeRun, **changes: Any) -> tuple[str, dict[str, Any]]:
    results = build_results(load_record(make_run(small(**changes))))
    return header(results), results


def test_the_advice_comes_before_every_figure(make_run: MakeRun) -> None:
    shown, results = head(make_run)
    assert shown.index(results["advice"]["sentence"]) < shown.index('class="card"') < shown.index('class="badge"')
    assert "made up" not in shown


def test_made_up_images_are_said_beside_the_advice(make_run: MakeRun) -> None:
    shown, results = head(make_run, facts={site: {"made_up": True} for site in ("a", "b", "d")})
    assert shown.index(results["advice"]["sentence"]) < shown.index("The images of all sites are made up")


def test_the_badge_is_of_the_run_and_has_one_colour(make_run: MakeRun) -> None:
    shown, _ = head(make_run)
    assert '<span class="badge">run complete</span>' in shown
    shown, _ = head(make_run, verdict="incomplete: site b has left")
    assert '<span class="badge">run incomplete</span>' in shown
    assert "incomplete: site b has left" in shown


def test_cards_show_the_comparison_that_decided_and_what_a_hospital_moves(make_run: MakeRun) -> None:
    shown, results = head(make_run)
    assert "Against FedAvg, equal rounds: unseen" in shown
    assert results["bytes"]["to_train"] == {"fedavg": 0, "dsfedmed": 100}  # 200 bytes of two sites
    assert "<b>100 B</b><span>FedAvg 0 B</span>" in shown


def test_an_untrained_baseline_has_no_card(make_run: MakeRun) -> None:
    shown, _ = head(make_run, selected={"fedavg": {"round": 0, "local_steps": 0}})
    assert "Against FedAvg" not in shown
    assert "the FedAvg that was scored is its untrained start" in shown


def test_every_term_of_the_tables_has_words() -> None:
    assert {"Dice", "IoU", "HD95", "seen, unseen", "training step", "learnability"} <= WORDS.keys()
    assert words().body.count("<dt>") == words().body.count("<dd>") == len(WORDS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"teacher_weights": {"origin": "random start", "sha256": None}}, True),
        ({"teacher_weights": {"origin": "the file `teacher`", "sha256": "0" * 64}}, False),
        ({"teacher_weights": {"origin": "random start", "sha256": None}, "method": "fedavgm"}, False),
        ({}, False),
    ],
)
def test_a_teacher_that_knew_nothing_is_said_beside_the_advice(
    make_run: MakeRun, changes: dict[str, Any], said: bool
) -> None:
    shown, results = head(make_run, **changes)
    assert results["random_teacher"] == said
    assert ("The teacher began with random weights" in shown) == said
    assert ("The teacher began with random weights" in summary_text(results)) == said
