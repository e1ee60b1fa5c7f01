# SPDX-License-Identifier: Apache-2.0
"""From a run's record to its advice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.reporting.record import load_record
from dsfedmed.reporting.results import build_results, write_results
from dsfedmed.reporting.terminal import summary_text
from tests.reporting.test_results import small

MakeRun = Callable[..., Path]
BOTH = {"dsfedmed": {"rounds": 2, "local_steps": 8}, "fedavg": {"rounds": 2, "local_steps": 8}}


def results_of(make_run: MakeRun, **changes: Any) -> dict[str, Any]:
    return write_results(load_record(make_run(small(**changes))))


def test_equal_rounds_are_taken_where_equal_steps_were_not_run(make_run: MakeRun) -> None:
    advice = results_of(make_run, budgets=BOTH)["advice"]
    assert (advice["use"], advice["outcome"], advice["by"]) == ("dsfedmed", "better", "equal_rounds")
    assert advice["sentence"].startswith("Use DSFedMed: with as many rounds it was better than FedAvg on the hospitals")


def test_equal_steps_decide_where_both_were_run(make_run: MakeRun) -> None:
    data = small(budgets=BOTH)
    best = {site: [{**case, "dice": [1.0]} for case in found] for site, found in data["cases"]["dsfedmed"].items()}
    data["cases"]["fedavg_equal_steps"] = best
    advice = build_results(load_record(make_run(data)))["advice"]
    assert (advice["use"], advice["by"]) == ("fedavg_equal_steps", "equal_steps")
    assert advice["sentence"].startswith("Use FedAvg: with as many training steps it was better than DSFedMed")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"verdict": "incomplete: site b has left"}, "it is not complete"),
        ({"budgets": BOTH, "preset": "smoke"}, "preset smoke shows that everything works"),
        ({"cases": {"dsfedmed": small()["cases"]["dsfedmed"]}}, "DSFedMed and FedAvg were not both tested in it"),
        (
            {"budgets": {**BOTH, "fedavg": {"rounds": 0, "local_steps": 0}}},
            "the FedAvg that was scored is its untrained",
        ),
        ({"selected": {"fedavg": {"round": 0, "local_steps": 0}}}, "the FedAvg that was scored is its untrained start"),
        (
            {"budgets": {**BOTH, "dsfedmed": {"rounds": 0, "local_steps": 0}}},
            "the DSFedMed that was scored is its untr",
        ),
    ],
)
def test_what_a_run_does_not_say(make_run: MakeRun, changes: dict[str, Any], why: str) -> None:
    results = results_of(make_run, **changes)
    assert (results["advice"]["use"], results["advice"]["outcome"]) == (None, "not said")
    assert why in results["advice"]["sentence"]
    assert summary_text(results).endswith(results["advice"]["sentence"])


def test_one_shot_has_no_opponent_in_a_fedavg_that_has_hardly_begun(make_run: MakeRun) -> None:
    """Made in as many steps, FedAvg may be at nothing after four rounds: a gain of fifty points is none."""
    budgets = {"dsfedmed": {"rounds": 0, "local_steps": 200}, "fedavg": {"rounds": 4, "local_steps": 216}}
    advice = results_of(make_run, budgets=budgets)["advice"]
    assert (advice["use"], advice["outcome"], advice["by"]) == (None, "not said", None)
    assert (
        "DSFedMed had no round, and FedAvg gets no more than 4 of them for as many training steps" in advice["sentence"]
    )


def test_an_untrained_baseline_is_compared_with_nothing(make_run: MakeRun) -> None:
    """With no round of its own the run once showed +50.7 Dice points against a FedAvg that nobody had trained."""
    results = results_of(make_run, selected={"fedavg": {"round": 0, "local_steps": 0}})
    assert results["comparisons"] == {"equal_rounds": None, "equal_steps": None}
    assert results["untrained"] == ["fedavg"]
    assert "at equal rounds: the FedAvg that was scored is its untrained start" in summary_text(results)
    one_shot = {"dsfedmed": {"round": 0, "local_steps": 300}}  # round 0 of a head start is trained
    assert results_of(make_run, selected=one_shot)["untrained"] == []


def test_other_images_cannot_be_compared(make_run: MakeRun) -> None:
    data = small()
    for site in data["cases"]["fedavg"].values():
        site.append(site[0])
    sentence = build_results(load_record(make_run(data)))["advice"]["sentence"]
    assert sentence.endswith("DSFedMed and FedAvg were not scored on the same images.")


def test_made_up_sites_are_said_beside_the_advice(make_run: MakeRun) -> None:
    facts = {"a": {"made_up": True}, "b": {"made_up": False}, "d": {}}
    results = results_of(make_run, facts=facts)
    assert results["made_up"] == ["a"]
    assert summary_text(results).splitlines()[-1].startswith("The images of a are made up")
    assert results_of(make_run)["made_up"] == []


def lowered(*sites: str) -> dict[str, Any]:
    """Return a record in which both methods find a tenth of what they found at these sites."""
    data = small(budgets=BOTH)
    for found in data["cases"].values():
        for site in sites:
            found[site] = [{**case, "dice": [case["dice"][0] / 10]} for case in found[site]]
    return data


def test_hospitals_on_which_neither_has_learned_much_do_not_decide(make_run: MakeRun) -> None:
    """DSFedMed finds 0.06 and 0.08 at the unseen site: 7.0 % is the better mean of the two."""
    advice = build_results(load_record(make_run(lowered("d"))))["advice"]
    assert advice["use"] == "dsfedmed"
    assert "on the hospitals that took part" in advice["sentence"]
    assert advice["sentence"].endswith("Neither has learned much on the unseen hospital (Dice 7.0 at most).")
    assert "on the unseen one" not in advice["sentence"]


def test_two_that_have_learned_nothing_are_not_compared(make_run: MakeRun) -> None:
    advice = build_results(load_record(make_run(lowered("a", "b", "d"))))["advice"]
    assert (advice["use"], advice["outcome"]) == (None, "not said")
    assert "neither has learned much on the hospitals that took part (Dice 8." in advice["sentence"]
