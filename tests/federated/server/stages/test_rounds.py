# SPDX-License-Identifier: Apache-2.0
"""When distillation is due, and what the rounds of DSFedMed do with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsfedmed.federated.server.stages import rounds
from dsfedmed.federated.server.stages.head_start import Start
from dsfedmed.federated.server.stages.rounds import distilled_rounds
from dsfedmed.federated.server.training_run import Beside, resume_or_start
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.training import TrainReply, TrainRequest
from dsfedmed.federated.wire.specs import SoftLabelChoice
from dsfedmed.federated.wire.task import Task
from dsfedmed.settings_sections import ScheduleSettings
from tests.federated.tiny import FakeRun, noise_manifest, tiny_plan, tiny_settings


@pytest.mark.parametrize(
    ("schedule", "due"),
    [
        (ScheduleSettings(warmup_rounds=3, interval_rounds=2), [3, 5, 7, 9]),
        (ScheduleSettings(warmup_rounds=0, interval_rounds=4), [0, 4, 8]),
        (ScheduleSettings(warmup_rounds=1, interval_rounds=1), list(range(1, 10))),
        (ScheduleSettings(warmup_rounds=10, interval_rounds=10), []),
        (ScheduleSettings(order="paper", distil_at="server", warmup_rounds=0, interval_rounds=1), []),
    ],
)
def test_the_schedule_by_hand(schedule: ScheduleSettings, due: list[int]) -> None:
    assert [done for done in range(10) if schedule.distils_after(done)] == due


@pytest.mark.parametrize(
    ("order", "chosen", "behind"),
    [("interleaved", 2, 0), ("interleaved", 3, 1), ("interleaved", 5, 1), ("interleaved", 6, 2), ("paper", 8, 0),
     ("paper", 10, 2)],
)  # fmt: skip
def test_the_distillations_behind_a_round_by_hand(order: Any, chosen: int, behind: int) -> None:
    """Interleaved after rounds 2, 5, 8; in the paper's order behind round 8, an epoch each."""
    schedule = ScheduleSettings(order=order, distil_at="server", warmup_rounds=2, interval_rounds=3)
    assert schedule.distillations_before(chosen, 8) == behind


@given(st.integers(0, 20), st.integers(1, 10), st.integers(0, 60))
def test_never_in_the_warm_up_and_then_every_so_many_rounds(warmup: int, every: int, total: int) -> None:
    schedule = ScheduleSettings(warmup_rounds=warmup, interval_rounds=every)
    due = [done for done in range(total) if schedule.distils_after(done)]
    assert due == list(range(warmup, total, every))


class FakeDistillation:
    """Adds 100 to the light network's weight and remembers after which rounds it was asked."""

    def __init__(self, folder: Path) -> None:
        self.manifest = noise_manifest(folder / "set", ["site_a"] * 2)
        self.calls: list[int] = []
        self.steps = 7
        self.teacher = {"t": torch.zeros(1)}

    def distil(self, number: int, light: dict[str, torch.Tensor], epochs: int) -> dict[str, torch.Tensor]:
        self.calls.append(number)
        return {"w": light["w"] + 100}

    def beside(self) -> Beside:
        """Their hash is that of the call, as 64 digits."""
        number = len(self.calls)
        soft = SoftLabelChoice(self.manifest, (0, 1), (0,), f"{number:064x}", 1.0, 1.0) if number else None
        return Beside(soft)


def _answer(_: str, __: Task[Any, Any], request: Envelope[TrainRequest]) -> Envelope[TrainReply]:
    facts = request.body.round
    reply = TrainReply(facts.round, float(request.tensors["weights/w"][0]) / 1000, 0.0, 1)
    return Envelope(reply, {} if facts.epochs == 0 else {"w": torch.ones(1)}, True)


def _run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, head: int = 0, **schedule: Any
) -> tuple[FakeRun, FakeDistillation, Any]:
    values = tiny_settings(rounds=4, schedule=schedule)
    run, made = FakeRun(folder, values, _answer), FakeDistillation(folder)
    monkeypatch.setattr(rounds, "Distillation", lambda *_: made)
    plan: Any = tiny_plan(values, site_a=1, site_b=1)
    state, _ = distilled_rounds(run, plan, None, {}, Start({"w": torch.zeros(1)}, head))
    return run, made, state


def test_interleaved_rounds_train_on_with_what_was_distilled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, made, state = _run(tmp_path, monkeypatch, warmup_rounds=1, interval_rounds=2)
    assert made.calls == [1, 3]
    assert state.weights["w"].item() == 204.0
    bodies = [request.body for _, _, request in run.asked if request.body.round.epochs]
    assert [body.synthetic and int(body.synthetic.soft_labels, 16) for body in bodies] == [None, 1, 1, 2]
    assert state.best_round == 4
    assert run.record.data["selected"]["dsfedmed"]["distillations"] == 2
    assert run.store.has("rounds")


def test_the_paper_s_order_distils_after_the_last_round_epoch_by_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, made, state = _run(tmp_path, monkeypatch, order="paper", distil_at="server", epochs=3)
    assert made.calls == [5, 6, 7]
    assert state.weights["w"].item() == 304.0
    assert (state.best_round, state.best["w"].item()) == (7, 304.0)
    assert [entry["round"] for entry in state.curve] == [1, 2, 3, 4, 5, 6, 7]
    assert state.steps == 8 + 3 * 7, "the server's steps count"


def test_finished_rounds_are_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(tmp_path, monkeypatch, order="paper", distil_at="server", epochs=2)
    run, made, state = _run(tmp_path, monkeypatch, order="paper", distil_at="server", epochs=2)
    assert made.calls == []
    assert all(request.body.round.epochs == 0 for _, _, request in run.asked)
    assert state.weights["w"].item() == 204.0


def test_the_steps_of_a_head_start_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, state = _run(tmp_path, monkeypatch, head=100, warmup_rounds=9)
    assert [entry["local_steps"] for entry in state.curve] == [102, 104, 106, 108]


def test_the_last_rounds_mean_is_what_the_rounds_end_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights 1, 2, 3 and 4 after the rounds: the mean of the last three is 3, validated and chosen, not the best."""
    run, _, state = _run(tmp_path, monkeypatch, warmup_rounds=10, average_rounds=3)
    assert state.weights["w"].item() == state.best["w"].item() == 3.0
    assert state.best_dice == pytest.approx(0.003), "what the sites found, though round 4 alone had 0.004"
    chosen = {
        "round": 4,
        "local_steps": 8,
        "validation_dice": state.best_dice,
        "averaged_rounds": 3,
        "distillations": 0,
    }
    assert run.record.data["selected"] == {"dsfedmed": chosen}
    assert resume_or_start(run, rounds.light_training(run.settings), {}).average["w"].item() == 3.0
