# SPDX-License-Identifier: Apache-2.0
"""Trials by hand: the Dice of a site is 1 - |w - 1|, honest updates lead there, and the bad one leads away."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.algorithms.aggregation import WeightedMean
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.averaging import Collected
from dsfedmed.federated.server.robust.held_updates import HeldUpdates
from dsfedmed.federated.server.robust.standing import Standing
from dsfedmed.federated.server.robust.trial import refuse_by_trial
from tests.federated.tiny import FakeRun, tiny_settings

HONEST = {"site_a": 0.4, "site_b": 0.4, "site_c": 0.4}


class Validation:
    """The sites' answers; the bad one says the opposite."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, tuple[str, ...]]] = []

    def __call__(self, weights: Weights, sites: list[str]) -> Mapping[str, float]:
        value = float(weights["w"][0])
        self.asked.append((round(value, 3), tuple(sites)))
        dice = max(1 - abs(value - 1), 0.0)
        return {site: 1 - dice if site == "bad" else dice for site in sites}


def trial(
    folder: Path,
    bad: float,
    standing: Standing,
    number: int,
    fall: float = 0.0,
    doubtful: tuple[str, ...] = (),
    **robust: Any,
) -> tuple[Collected, Validation, Any]:
    run: Any = FakeRun(folder, tiny_settings(robust=robust), lambda *_: None)
    weights = {"w": torch.zeros(1)}
    held, mean = HeldUpdates(folder / "updates", weights), WeightedMean(weights)
    for site, value in (HONEST | {"bad": bad}).items():
        held.add(site, {"w": torch.tensor([value])})
        mean.add(site, {"w": torch.tensor([value])}, 1)
    found, validation = Collected(weights, dict.fromkeys(held.sites, 1), WeightedMean, held, mean), Validation()
    refuse_by_trial(run, found, standing, number, fall, doubtful, validation)
    return found, validation, run


def test_an_update_that_harms_the_others_does_not_count(tmp_path: Path) -> None:
    standing = Standing()
    found, validation, run = trial(tmp_path, -0.8, standing, 2)
    # Mean of all: (3 * 0.4 - 0.8) / 4 = 0.1; without the bad one 0.4; without another (0.8 - 0.8) / 3 = 0.
    assert [value for value, _ in validation.asked] == [0.1, 0.0, 0.0, 0.0, 0.4]
    assert validation.asked[0][1] == ("site_a", "site_b", "site_c", "bad")
    assert validation.asked[4][1] == ("site_a", "site_b", "site_c"), "nobody is asked about its own update"
    said = "its update costs the others 0.300 of validation Dice (0.270 over the trials so far)"
    assert found.refused == {"bad": said}
    assert found.average(run)["w"].tolist() == pytest.approx([0.4])
    assert (standing.strikes, standing.next_trial) == ({"bad": 1, "site_a": 0, "site_b": 0, "site_c": 0}, 3)


def test_an_odd_update_that_harms_nobody_counts(tmp_path: Path) -> None:
    standing = Standing()
    found, _, run = trial(tmp_path, 0.3, standing, 2)
    assert found.refused == {}
    assert torch.equal(found.average(run)["w"], found.mean.result()["w"])
    assert standing.next_trial == 8
    assert "events" not in run.record.data


@pytest.mark.parametrize(
    ("number", "fall", "strikes", "tried"),
    [
        (7, 0.0, {}, 0),
        (7, 0.16, {}, 5),
        (7, 0.14, {}, 0),
        (7, 0.0, {"bad": 1}, 2),
        (8, 0.0, {}, 5),
        (7, -0.5, {}, 0),
        (5, 0.3, {}, 0),
    ],
)
def test_trials_are_held_when_due_after_a_fall_or_for_a_watched_site(
    number: int, fall: float, strikes: dict[str, int], tried: int, tmp_path: Path
) -> None:
    """The last trial was after round 2; a fall is looked into from four rounds later on."""
    _, validation, _ = trial(tmp_path, 0.3, Standing(strikes, next_trial=8, last_trial=2), number, fall)
    assert len(validation.asked) == tried


def test_a_doubtful_update_is_tried_at_once(tmp_path: Path) -> None:
    found, validation, _ = trial(tmp_path, -0.8, Standing(next_trial=8, last_trial=2), 3, doubtful=("bad",))
    assert len(validation.asked) == 2
    assert list(found.refused) == ["bad"]


def test_a_watched_site_that_harms_nobody_any_more_is_acquitted(tmp_path: Path) -> None:
    standing = Standing({"bad": 1}, next_trial=4)
    trial(tmp_path, 0.4, standing, 3)
    assert (standing.strikes, standing.next_trial) == ({"bad": 0}, 4)


def test_a_set_of_the_server_s_own_is_enough_to_say_who_harms(tmp_path: Path) -> None:
    run: Any = FakeRun(tmp_path, tiny_settings(), lambda *_: None)
    weights = {"w": torch.zeros(1)}
    held, mean = HeldUpdates(tmp_path / "updates", weights), WeightedMean(weights)
    for site, value in (HONEST | {"bad": -0.8}).items():
        held.add(site, {"w": torch.tensor([value])})
        mean.add(site, {"w": torch.tensor([value])}, 1)
    found = Collected(weights, dict.fromkeys(held.sites, 1), WeightedMean, held, mean)
    refuse_by_trial(run, found, Standing(), 2, 0.0, (), lambda tried, _: {"public": 1 - abs(float(tried["w"][0]) - 1)})
    assert list(found.refused) == ["bad"]


def test_a_little_harm_in_every_trial_adds_up(tmp_path: Path) -> None:
    """Mean of all 0.3825, without the bad one 0.4: a gain of 0.0175, 0.0075 over a fifth of the margin, 0.05."""
    standing, refused = Standing(), []
    for number in range(2, 10):
        found, validation, _ = trial(tmp_path, 0.33, standing, number, trial_margin=0.05)
        refused.append(list(found.refused))
        assert validation.asked, "something speaks against it in every round"
    assert refused == [[], [], [], [], [], [], ["bad"], ["bad"]]


def test_two_bad_ones_are_found_one_after_the_other(tmp_path: Path) -> None:
    run: Any = FakeRun(tmp_path, tiny_settings(robust={"bad_sites": 2}), lambda *_: None)
    weights = {"w": torch.zeros(1)}
    held, mean = HeldUpdates(tmp_path / "updates", weights), WeightedMean(weights)
    for site, value in {"a": 0.9, "b": 0.9, "c": 0.9, "bad": -2.0, "site_x": -1.0}.items():
        held.add(site, {"w": torch.tensor([value])})
        mean.add(site, {"w": torch.tensor([value])}, 1)
    found = Collected(weights, dict.fromkeys(held.sites, 1), WeightedMean, held, mean)
    refuse_by_trial(run, found, Standing(), 2, 0.0, (), Validation())
    assert list(found.refused) == ["bad", "site_x"]


def test_no_trial_where_nobody_could_be_outvoted_or_it_is_off(tmp_path: Path) -> None:
    _, validation, _ = trial(tmp_path, -0.8, Standing(), 2, trials=False)
    assert validation.asked == []
