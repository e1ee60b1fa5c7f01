# SPDX-License-Identifier: Apache-2.0
"""The baselines: each is trained as its own settings say."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages import comparison
from dsfedmed.federated.server.stages.comparison import compare
from dsfedmed.federated.server.training_run import TrainingSpec, TrainingState
from dsfedmed.federated.server.workflow import FederatedWorkflow
from tests.federated.tiny import FakeFlow, tiny_plan, tiny_settings


def test_every_baseline_has_its_own_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FedSAM and FedMSA differ in what learns, and so in the rate that suits them."""
    methods = {"local": False, "fedavg": False, "equal_steps": False, "fedsam": True, "fedmsa": True, "fedprox": True}
    rates = {"fedsam_learning_rate": 3e-4, "fedmsa_learning_rate": 3e-3, "fedprox_mu": 0.02}
    values = tiny_settings(compare=methods | rates)
    arms: dict[str, TrainingSpec] = {}

    def opened(flow: FederatedWorkflow, arm: TrainingSpec, start: Weights) -> TrainingState:
        arms[arm.name] = arm
        return TrainingState(start, round=values.rounds, best=start)

    monkeypatch.setattr(comparison, "resume_or_start", opened)
    monkeypatch.setattr(comparison, "train_until", lambda flow, plan, arm, state, done, rounds: state)
    plan: FederationPlan = tiny_plan(values)
    found = compare(FakeFlow(tmp_path, values, None), plan, TrainingState({}))
    assert {name: (arm.network, arm.learning_rate, arm.proximal) for name, arm in arms.items()} == {
        "fedprox": ("light", 0.0, 0.02),
        "fedsam": ("teacher", 3e-4, 0.0),
        "fedmsa": ("adapted", 3e-3, 0.0),
    }
    assert {name: contender.network for name, contender in found.items()} == {
        name: arm.network for name, arm in arms.items()
    }
