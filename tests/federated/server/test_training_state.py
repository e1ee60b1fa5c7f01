# SPDX-License-Identifier: Apache-2.0
"""Where a training run is: the best so far, the mean of the last rounds, and steps, by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsfedmed.exchange.reference import Reference
from dsfedmed.federated.server.training_state import TENSORS, TrainingState
from dsfedmed.federated.wire.requests.training import TrainReply
from dsfedmed.settings_sections import GuardSettings


def state_at(value: float) -> TrainingState:
    return TrainingState({"w": torch.tensor([value])})


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_the_best_is_the_first_with_the_highest_mean(dice: list[float]) -> None:
    state = state_at(0.0)
    for number, value in enumerate(dice):
        state.round, state.steps, state.weights = number, 10 * number, {"w": torch.tensor([float(number)])}
        assert state.validated({"a": value, "b": value}, Reference(state.weights)) == value
    best = dice.index(max(dice))
    assert (state.best_round, state.best_steps, state.best["w"].item()) == (best, 10 * best, float(best))
    assert state.best_dice == max(dice)


def test_the_best_is_what_was_sent_and_the_mean_is_over_sites() -> None:
    """The sites validate what they hold: rounded weights, not the server's own."""
    state = state_at(1.25)
    sent = Reference({"w": torch.tensor([1.2])})
    assert state.validated({"a": 0.2, "b": 0.6}, sent) == pytest.approx(0.4)
    assert state.best is sent.weights
    assert state.reference is sent


def test_a_validation_fills_the_entry_of_the_round_just_done() -> None:
    state = state_at(0.0)
    state.validated({"a": 0.1}, Reference(state.weights))
    assert state.curve == [], "before the first round there is no entry to fill"
    state.round = 1
    state.add_steps({"a": TrainReply(1, 0.1, 0.5, 7), "b": TrainReply(1, 0.1, None, None)})
    assert (state.steps, state.curve) == (
        7, [{"round": 1, "local_steps": 7, "validation": {}, "loss": {"a": 0.5}}],
    )  # fmt: skip
    state.validated({"a": 0.3}, Reference(state.weights))
    assert state.curve[0]["validation"] == {"a": 0.3}
    state.add_steps({"a": TrainReply(2, 0.1, 0.5, 3)})
    assert state.steps == 10


def test_the_mean_of_the_last_rounds_counts_each_alike() -> None:
    """Weights 1, 2, 3, 4 and 5 behind five rounds; the mean of the last three is 4."""
    state = state_at(0.0)
    for number in range(1, 6):
        state.round, state.weights = number, {"w": torch.tensor([float(number)])}
        state.take_into_average(5, 3)
        assert state.averaged_rounds == max(number - 2, 0)
    assert state.average["w"].item() == pytest.approx(4.0)


def test_without_a_mean_nothing_is_averaged() -> None:
    state = state_at(1.0)
    state.round = 5
    state.take_into_average(5, 0)
    assert (state.average, state.averaged_rounds) == ({}, 0)
    assert "averaged_rounds" not in state.selected()


def test_the_last_may_be_chosen_instead_of_the_best() -> None:
    state = state_at(0.0)
    for number, dice in enumerate((0.9, 0.2)):
        state.round, state.steps = number, 5 * number
        state.curve.append({"round": number, "validation": {}})
        state.validated({"a": dice, "b": dice}, Reference({"w": torch.tensor([float(number)])}))
    assert state.best_round == 0
    state.choose_last()
    assert (state.best_round, state.best_steps, state.best_dice, state.best["w"].item()) == (1, 5, 0.2, 1.0)
    assert state.selected() == {"round": 1, "local_steps": 5, "validation_dice": 0.2}


def test_the_parts_that_are_tensors_are_named() -> None:
    """The store keeps these as tensors, the sites' standing in parts, and all the rest as JSON."""
    parts = (*TENSORS, "standing")
    numbers = {name: value for name, value in vars(state_at(0.0)).items() if name not in parts}
    assert all(isinstance(value, (int, float, list, dict)) for value in numbers.values())
    assert set(vars(state_at(0.0))) == set(numbers) | set(parts)


def test_rounds_are_compared_over_the_sites_that_both_have() -> None:
    """Without the hard site b the mean is higher, but a has fallen: that is no better round."""
    state = state_at(0.0)
    state.validated({"a": 0.8, "b": 0.4}, Reference({"w": torch.tensor([1.0])}))
    assert state.validated({"a": 0.75}, Reference({"w": torch.tensor([2.0])})) == 0.75
    assert state.best["w"].item() == 1.0
    assert state.rise({"a": 0.75}) == pytest.approx(-0.05)
    state.validated({"a": 0.85}, Reference({"w": torch.tensor([3.0])}))
    assert (state.best["w"].item(), state.best_dice) == (3.0, 0.85)


def test_a_fall_goes_back_to_the_best_and_again_and_again_is_a_collapse() -> None:
    state, guard = state_at(0.0), GuardSettings(fall=0.2, patience=2)
    state.validated({"a": 0.7}, Reference({"w": torch.tensor([1.0])}))
    assert not state.undo_fall({"a": 0.7}, guard)
    state.weights = {"w": torch.tensor([9.0])}
    assert not state.undo_fall({"a": 0.5}, guard), "exactly so far is not too far"
    assert not state.undo_fall({"a": 0.1}, GuardSettings(fall=0.0)), "switched off"
    assert state.undo_fall({"a": 0.45}, guard)
    assert (state.weights["w"].item(), state.undone, state.collapsed) == (1.0, 1, False)
    assert state.undo_fall({"a": 0.0}, guard)
    assert (state.undone, state.collapsed) == (2, True)


def test_a_better_round_makes_earlier_falls_forgotten() -> None:
    state, guard = state_at(0.0), GuardSettings(fall=0.2, patience=2)
    state.validated({"a": 0.7}, Reference({"w": torch.tensor([1.0])}))
    assert state.undo_fall({"a": 0.1}, guard)
    state.validated({"a": 0.8}, Reference({"w": torch.tensor([2.0])}))
    assert state.undo_fall({"a": 0.1}, guard)
    assert not state.collapsed
    assert state.undone == 2, "the learning rate stays halved for each"


def test_the_longest_time_without_a_rise_is_kept() -> None:
    state = state_at(0.0)
    for number, dice in enumerate([0.5, 0.4, 0.3, 0.6, 0.5]):
        state.round = number
        state.validated({"a": dice}, Reference(state.weights))
    assert state.idle == 2
