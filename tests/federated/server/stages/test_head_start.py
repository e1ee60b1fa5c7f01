# SPDX-License-Identifier: Apache-2.0
"""The head start as a stage: from the run's start weights, on what was kept, once, and only where it is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dsfedmed.errors import ConfigError
from dsfedmed.federated.methods.dsfedmed import DSFedMed
from dsfedmed.federated.server.stages import head_start as stage
from dsfedmed.federated.server.stages.head_start import STAGE, Start, head_start
from dsfedmed.training.synthetic_source import SyntheticSource
from tests.federated.tiny import PAIRS, FakeRun, sealed_set, tiny_plan, tiny_settings


def _begin(folder: Path, steps: int = 3, seed: int = 0) -> tuple[FakeRun, Start]:
    values = tiny_settings(schedule={"head_start_steps": steps}, seed=seed)
    run, plan = FakeRun(folder, values, lambda *_: pytest.fail("nothing is asked of a site")), tiny_plan(values)
    return run, head_start(run, plan, sealed_set(folder), dict(plan.teacher_network().state_dict()))


def test_it_goes_on_from_the_run_s_start_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, begun = _begin(tmp_path)
    before = tiny_plan(run.settings).start_weights()
    assert begun.weights.keys() == before.keys()
    assert any(not torch.equal(begun.weights[name], before[name]) for name in before)
    assert begun.steps == 3
    assert run.store.get(STAGE).info["steps"] == 3
    monkeypatch.setattr(stage, "train_on_synthetic", lambda *_, **__: pytest.fail("a finished stage is not done again"))
    _, again = _begin(tmp_path)
    assert all(torch.equal(begun.weights[name], again.weights[name]) for name in before)


def test_it_learns_every_kept_pair_and_no_vetoed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[SyntheticSource] = []

    def look(network: object, optimizer: object, source: SyntheticSource, *_: object) -> float:
        seen.append(source)
        return 0.0

    monkeypatch.setattr(stage, "train_on_synthetic", look)
    run, _ = _begin(tmp_path)
    (source,) = seen
    pool = sealed_set(tmp_path).pool
    assert torch.equal(source.images, pool.images())
    assert len(source.images) == PAIRS - 1
    assert source.soft is not None
    assert source.soft.shape == (PAIRS - 1, 1, 16, 16)
    weights = (run.settings.schedule.site_supervised_weight, run.settings.schedule.site_kl_weight)
    assert (source.supervised_weight, source.kl_weight) == weights


def test_it_is_a_stage_of_the_run_only_where_it_has_steps() -> None:
    settings = tiny_settings()
    assert STAGE not in DSFedMed.stages(settings)
    wanted = DSFedMed.stages(replace(settings, schedule=replace(settings.schedule, head_start_steps=5)))
    assert wanted[wanted.index("rounds") - 1] == STAGE


def test_a_negative_number_of_steps_is_refused() -> None:
    with pytest.raises(ConfigError, match="head_start_steps"):
        tiny_settings(schedule={"head_start_steps": -1})
