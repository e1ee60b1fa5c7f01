# SPDX-License-Identifier: Apache-2.0
"""A federated training round by round: the average by hand, the best round, and going on after a restart."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsfedmed.exchange.reference import Reference
from dsfedmed.federated.server.training_run import (
    TrainingSpec,
    TrainingState,
    resume_or_start,
    train_round,
    train_until,
    validate_training,
)
from dsfedmed.federated.wire.message import Message
from tests.federated.tiny import FakeFlow, tiny_settings

ARM = TrainingSpec("fedavg")


class Sites:
    """Sites whose update is +1 (site_a, 4 images) and +5 (site_b, 12 images), 3 steps each: the mean is +4 a round."""

    def __init__(self, dice: list[float]) -> None:
        self.dice, self.requests = dice, []
        self.absent: set[str] = set()

    def __call__(self, site: str, task: str, request: Message) -> Message | None:
        assert task == "dsf_train"
        if site in self.absent:
            return None
        self.requests.append((site, request))
        weight = float(request.tensors["weights/w"][0])
        reached = int(weight // 4)
        validation = self.dice[reached] + (0.1 if site == "site_a" else -0.1)
        if request.info["epochs"] == 0:
            return Message({"validation": validation})
        update = {"w": torch.full((1,), 1.0 if site == "site_a" else 5.0)}
        return Message({"validation": validation, "steps": 3, "loss": 0.5}, update, True)


def _plan(values: Any) -> Any:
    return SimpleNamespace(settings=values, counts={"site_a": 4, "site_b": 12}, common={"seed": 0}, teacher_spec={})


def _setting(folder: Path, dice: list[float], **changes: Any) -> tuple[FakeFlow, Any, Sites]:
    values, sites = tiny_settings(**changes), Sites(dice)
    return FakeFlow(folder, values, sites), _plan(values), sites


def _start() -> TrainingState:
    return TrainingState({"w": torch.zeros(1)})


def _both(value: float) -> dict[str, float]:
    return {"a": value, "b": value}


def test_a_round_by_hand(tmp_path: Path) -> None:
    """(4 * 1 + 12 * 5) / 16 = 4."""
    flow, plan, sites = _setting(tmp_path, [0.3])
    state = train_round(flow, plan, ARM, _start())
    assert state.weights["w"].tolist() == [4.0]
    assert (state.round, state.steps) == (1, 6)
    assert state.curve == [
        {"round": 1, "local_steps": 6, "validation": {}, "loss": {"site_a": 0.5, "site_b": 0.5}},
    ]
    assert flow.tracked == [("fedavg/validation_dice", pytest.approx(0.3), 0)]
    site, request = sites.requests[0]
    assert (site, request.info["round"], request.info["epochs"], request.info["arm"]) == ("site_a", 1, 1, "fedavg")
    assert request.tensors["weights/w"].dtype == torch.float16


def test_a_round_without_a_site_averages_the_others(tmp_path: Path) -> None:
    flow, plan, sites = _setting(tmp_path, [0.3])
    sites.absent = {"site_b"}
    state = train_round(flow, plan, ARM, _start())
    assert state.weights["w"].tolist() == [1.0]
    assert state.steps == 3


def test_a_validation_belongs_to_the_weights_before_the_training(tmp_path: Path) -> None:
    flow, plan, _ = _setting(tmp_path, [0.2, 0.6, 0.4])
    state = train_until(flow, plan, ARM, _start(), lambda now: now.round >= 2, 2)
    assert [sorted(entry["validation"].values()) for entry in state.curve] == [
        [pytest.approx(0.5), pytest.approx(0.7)],
        [pytest.approx(0.3), pytest.approx(0.5)],
    ]
    assert (state.best_round, state.best_steps) == (1, 6)
    assert state.best["w"].tolist() == [4.0]
    assert state.weights["w"].tolist() == [8.0]
    assert state.selected() == {"round": 1, "local_steps": 6, "validation_dice": pytest.approx(0.6)}
    assert "fedavg round 2  validation Dice site_a 70.0 site_b 50.0" in flow.progress.lines[-1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(deadline=None)
def test_the_best_is_the_first_with_the_highest_mean(dice: list[float]) -> None:
    state = _start()
    for number, value in enumerate(dice):
        state.round, state.steps, state.weights = number, 10 * number, {"w": torch.tensor([float(number)])}
        assert state.validated(_both(value), Reference(state.weights)) == value
    best = dice.index(max(dice))
    assert (state.best_round, state.best_steps, state.best["w"].item()) == (best, 10 * best, float(best))
    assert state.best_dice == max(dice)


def test_to_equal_steps_the_training_goes_on_until_it_has_them(tmp_path: Path) -> None:
    flow, plan, _ = _setting(tmp_path, [0.1] * 9)
    state = train_until(flow, plan, ARM, _start(), lambda now: now.round >= 2, 2)
    state = train_until(flow, plan, ARM, state, lambda now: now.steps >= 20, 4)
    assert (state.round, state.steps) == (4, 24)
    again = train_until(flow, plan, ARM, state, lambda now: now.steps >= 20, 4)
    assert again.round == 4, "what is reached is not trained again"


def test_a_validation_alone_changes_no_weights(tmp_path: Path) -> None:
    flow, plan, sites = _setting(tmp_path, [0.25])
    state = _start()
    assert validate_training(flow, plan, ARM, state) == pytest.approx(0.25)
    assert state.weights["w"].tolist() == [0.0]
    assert (state.round, state.steps, state.best_round) == (0, 0, 0)
    assert all(request.info["epochs"] == 0 for _, request in sites.requests)


def test_a_restarted_arm_goes_on_to_the_same_end(tmp_path: Path) -> None:
    dice = [0.2, 0.7, 0.4, 0.3]
    unbroken, plan, _ = _setting(tmp_path / "unbroken", dice)
    whole = train_until(
        unbroken, plan, ARM, resume_or_start(unbroken, ARM, _start().weights), lambda now: now.round >= 3, 3
    )
    broken, plan, _ = _setting(tmp_path / "broken", dice)
    train_round(broken, plan, ARM, train_round(broken, plan, ARM, resume_or_start(broken, ARM, _start().weights)))
    flow, plan, sites = _setting(tmp_path / "broken", dice)
    state = resume_or_start(flow, ARM, {"w": torch.full((1,), 99.0)})
    assert state.round == 2
    state = train_until(flow, plan, ARM, state, lambda now: now.round >= 3, 3)
    assert [request.info["round"] for site, request in sites.requests if site == "site_a"] == [3, 3]
    assert (state.curve, state.steps, state.selected()) == (whole.curve, whole.steps, whole.selected())
    assert torch.equal(state.weights["w"], whole.weights["w"])
    assert torch.equal(state.best["w"], whole.best["w"])


def test_the_server_may_validate_itself_and_ask_some_sites_only(tmp_path: Path) -> None:
    """Site_b alone trains, +5 a round; the sites are not asked to validate, and the second round is the best."""
    flow, plan, sites = _setting(tmp_path, [0.0] * 9)
    arm = TrainingSpec("samfed", validate=lambda weights: {"public": 0.1 * float(weights["w"][0])}, sites=("site_b",))
    state = train_until(flow, plan, arm, _start(), lambda now: now.round >= 2, 2)  # type: ignore[arg-type]
    assert float(state.weights["w"][0]) == 10.0
    assert {site for site, _ in sites.requests} == {"site_b"}
    assert all(request.info["epochs"] > 0 for _, request in sites.requests)
    assert [entry["validation"] for entry in state.curve] == [
        {"public": pytest.approx(0.5)},
        {"public": pytest.approx(1.0)},
    ]
    assert (state.best_round, state.best_dice) == (2, pytest.approx(1.0))


def test_the_last_round_may_be_chosen_whatever_its_dice(tmp_path: Path) -> None:
    flow, plan, _ = _setting(tmp_path, [0.9, 0.5, 0.2])
    state = train_until(flow, plan, ARM, _start(), lambda now: now.round >= 2, 2)  # type: ignore[arg-type]
    assert state.best_round == 0
    state.choose_last()
    assert (state.best_round, state.best_steps, state.best_dice) == (2, state.steps, pytest.approx(0.2))
    assert torch.equal(state.best["w"], state.weights["w"])
