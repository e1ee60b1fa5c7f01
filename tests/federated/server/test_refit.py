# SPDX-License-Identifier: Apache-2.0
"""The server's repair of the mean: once after each round, with an optimiser that lasts, fading as asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.federated.server import refit as stage
from dsfedmed.federated.server.refit import Refit
from dsfedmed.federated.server.training_run import TrainingSpec, checkpoint, resume_or_start
from dsfedmed.federated.server.training_state import TrainingState
from tests.federated.tiny import PAIRS, FakeRun, sealed_set, tiny_plan, tiny_settings


def made(folder: Path, **changes: Any) -> tuple[FakeRun, Refit, TrainingState]:
    settings = tiny_settings(rounds=4, refit={"steps": 4, **changes})
    run: Any = FakeRun(folder, settings, lambda *_: pytest.fail("nothing is asked of a site"))
    plan = tiny_plan(settings)
    return run, Refit(run, plan, sealed_set(folder), plan.teacher_network().state_dict()), TrainingState(
        plan.start_weights()
    )  # fmt: skip


def test_the_mean_is_trained_once_after_each_round_and_the_steps_count(tmp_path: Path) -> None:
    _, refit, state = made(tmp_path)
    assert not refit.repair(state), "before the first round there is no mean"
    state.round = 1
    before = dict(state.weights)
    assert refit.repair(state)
    assert any(not torch.equal(before[name], tensor) for name, tensor in state.weights.items())
    assert (state.steps, state.repaired) == (4, 1)
    after = dict(state.weights)
    assert not refit.repair(state)
    assert all(torch.equal(after[name], tensor) for name, tensor in state.weights.items())


def test_it_goes_on_after_a_restart_to_the_same_weights(tmp_path: Path) -> None:
    """The optimiser's moments are part of the training's state."""
    ends = []
    for name, restarts in (("unbroken", False), ("broken", True)):
        run, refit, state = made(tmp_path / name)
        spec: TrainingSpec = TrainingSpec("dsfedmed")
        for number in (1, 2):
            state.round = number
            refit.repair(state)
            checkpoint(run, spec, state)
            if restarts:
                run, refit, _ = made(tmp_path / name)
                state = resume_or_start(run, spec, {})
        ends.append(state.weights)
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_it_fades_and_its_rate_falls_with_that_of_the_sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paces: list[Any] = []
    monkeypatch.setattr(stage, "train_on_synthetic", lambda *arguments: paces.append(arguments[4]))
    settings = tiny_settings(rounds=4, refit={"steps": 8, "fade": "annealed"}, light={"rate_schedule": "cosine"})
    run: Any = FakeRun(tmp_path, settings, lambda *_: None)
    plan = tiny_plan(settings)
    refit, state = Refit(run, plan, sealed_set(tmp_path), {}), TrainingState(plan.start_weights())
    for number in range(1, 5):
        state.round = number
        refit.repair(state)
    assert [pace.steps for pace in paces] == [6, 4, 2], "none after the last round"
    assert [pace.rules.rate_factor for pace in paces] == pytest.approx([1.0, 0.8535534, 0.5])
    assert not any(pace.falls for pace in paces)


def test_the_known_masks_are_learned_and_the_teacher_only_where_it_counts(tmp_path: Path) -> None:
    _, hard, _ = made(tmp_path / "hard")
    assert hard.source.soft is None
    assert len(hard.source.images) == PAIRS - 1, "what was vetoed is not there"
    _, soft, _ = made(tmp_path / "soft", kl_weight=0.5)
    assert soft.source.soft is not None
    assert (soft.source.supervised_weight, soft.source.kl_weight) == (1.0, 0.5)
