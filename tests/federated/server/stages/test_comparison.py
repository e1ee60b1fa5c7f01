# SPDX-License-Identifier: Apache-2.0
"""The baselines: each is trained as its own settings say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.errors import PayloadError
from dsfedmed.exchange.compression import pack
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages import comparison
from dsfedmed.federated.server.stages.comparison import compare, compared_stages
from dsfedmed.federated.server.training_run import TrainingSpec
from dsfedmed.federated.server.training_state import TrainingState
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.training import LocalReply, LocalRequest, TrainReply, TrainRequest
from dsfedmed.federated.wire.task import Task
from dsfedmed.federated.wire.tasks import LOCAL, TRAIN
from dsfedmed.settings_sections import CompareSettings
from tests.federated.tiny import FakeRun, tiny_plan, tiny_settings

NOTHING = {"local": False, "fedavg": False, "equal_steps": False}


def test_every_baseline_has_its_own_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FedSAM and FedMSA differ in what learns, and so in the rate that suits them."""
    methods = NOTHING | dict.fromkeys(("fedsam", "fedmsa", "fedprox", "fedlora"), True)
    rates = {"fedsam_learning_rate": 3e-4, "fedmsa_learning_rate": 3e-3, "fedprox_mu": 0.02, "lora_learning_rate": 2e-3}
    values = tiny_settings(compare=methods | rates)
    specs: dict[str, TrainingSpec] = {}

    def opened(run: FederatedWorkflow, spec: TrainingSpec, start: Weights) -> TrainingState:
        specs[spec.name] = spec
        return TrainingState(start, round=values.rounds, best=start)

    monkeypatch.setattr(comparison, "resume_or_start", opened)
    monkeypatch.setattr(comparison, "train_until", lambda run, plan, spec, state, done, rounds: state)
    plan: FederationPlan = tiny_plan(values)
    found = compare(FakeRun(tmp_path, values, None), plan, TrainingState({}))
    assert {name: (spec.network, spec.learning_rate, spec.proximal) for name, spec in specs.items()} == {
        "fedprox": ("light", 0.0, 0.02),
        "fedsam": ("teacher", 3e-4, 0.0),
        "fedmsa": ("adapted", 3e-3, 0.0),
        "fedlora": ("low_rank", 2e-3, 0.0),
    }
    assert {name: model.network for name, model in found.items()} == {
        name: spec.network for name, spec in specs.items()
    }


def test_the_stages_are_those_of_the_baselines_asked_for() -> None:
    assert compared_stages(CompareSettings(**NOTHING)) == ()
    assert compared_stages(CompareSettings(**NOTHING, fedmsa=True, fedprox=True)) == (
        "compare fedprox",
        "compare fedmsa",
    )
    equal = CompareSettings(**{**NOTHING, "equal_steps": True})
    assert compared_stages(equal) == ("compare fedavg", "compare equal steps"), "equal steps go on from FedAvg"


class Training:
    """Sites that take three steps a round and get better by 0.1 a round; nothing moves."""

    def __init__(self, plan: FederationPlan) -> None:
        self.update = {name: torch.zeros_like(tensor) for name, tensor in plan.start_weights().items()}

    def __call__(self, site: str, task: Task[Any, Any], request: Envelope[TrainRequest]) -> Envelope[TrainReply]:
        assert task is TRAIN
        facts = request.body.round
        if facts.epochs == 0:
            return Envelope(TrainReply(facts.round, 0.1 * facts.round))
        return Envelope(TrainReply(facts.round, 0.1 * (facts.round - 1), 0.5, 3), self.update, True)


def test_fedavg_goes_on_to_the_steps_of_the_method(tmp_path: Path) -> None:
    """Two sites with three steps a round: two rounds are 12 steps, 20 need four rounds. Restarted, none is asked."""
    values = tiny_settings(compare={**NOTHING, "fedavg": True, "equal_steps": True})
    plan = tiny_plan(values)
    run: Any = FakeRun(tmp_path, values, Training(plan))
    found = compare(run, plan, TrainingState({}, steps=20))
    assert list(found) == ["fedavg", "fedavg_equal_steps"]
    assert run.record.data["budgets"] == {
        "fedavg": {"rounds": 2, "local_steps": 12}, "fedavg_equal_steps": {"rounds": 4, "local_steps": 24},
    }  # fmt: skip
    chosen = {name: entry["round"] for name, entry in run.record.data["selected"].items()}
    assert chosen == {"fedavg": 2, "fedavg_equal_steps": 4}
    again: Any = FakeRun(tmp_path, values, lambda *_: pytest.fail("a finished stage is not done again"))
    repeated = compare(again, plan, TrainingState({}, steps=20))
    for name, model in found.items():
        assert all(torch.equal(repeated[name].weights[key], tensor) for key, tensor in model.weights.items())


def test_a_finished_baseline_is_taken_from_the_store(tmp_path: Path) -> None:
    values = tiny_settings(compare={**NOTHING, "fedprox": True})
    plan = tiny_plan(values)
    found = compare(FakeRun(tmp_path, values, Training(plan)), plan, TrainingState({}))
    again = FakeRun(tmp_path, values, lambda *_: pytest.fail("a finished stage is not done again"))
    repeated = compare(again, plan, TrainingState({}))
    assert repeated["fedprox"].weights.keys() == found["fedprox"].weights.keys() == plan.start_weights().keys()


@pytest.mark.parametrize(("kind", "network", "rate"), [("local", "light", 0.0), ("local_lora", "low_rank", 2e-3)])
def test_each_site_alone_has_the_epochs_of_the_federation_and_is_scored_at_home(
    tmp_path: Path, kind: str, network: str, rate: float
) -> None:
    compared = {**NOTHING, kind: True, "lora_learning_rate": 2e-3}
    values = tiny_settings(rounds=3, light={"epochs_per_round": 2}, compare=compared)
    plan = tiny_plan(values)

    def answer(site: str, task: Task[Any, Any], request: Envelope[LocalRequest]) -> Envelope[LocalReply]:
        assert task is LOCAL
        assert (request.body.epochs, request.body.batch_size) == (6, 4)
        assert (request.body.network, request.body.learning_rate) == (network, rate)
        assert any("lora_A" in name for name in request.tensors) == (network == "low_rank")
        value = 1.0 if site == "site_a" else 2.0
        weights = {name.removeprefix("weights/"): torch.full_like(t, value) for name, t in request.tensors.items()}
        return Envelope(LocalReply(0.5, 3, 12), pack(weights, "fp16"))

    run: Any = FakeRun(tmp_path, values, answer)
    run.unseen = ["site_c"]
    found = compare(run, plan, TrainingState({}))
    assert {name: model.sites for name, model in found.items()} == {
        f"{kind}@site_a": ("site_a", "site_c"), f"{kind}@site_b": ("site_b", "site_c"),
    }  # fmt: skip
    assert {model.network for model in found.values()} == {network}
    assert {float(tensor.max()) for tensor in found[f"{kind}@site_b"].weights.values()} == {2.0}
    assert all(tensor.dtype == torch.float32 for tensor in found[f"{kind}@site_a"].weights.values())
    assert run.store.get(f"compare {kind}").info["sites"]["site_a"] == {"epoch": 3, "steps": 12}


def test_a_site_s_own_network_of_another_shape_is_refused(tmp_path: Path) -> None:
    values = tiny_settings(compare={**NOTHING, "local": True})
    answer = lambda *_: Envelope(LocalReply(0.5, 1, 1), {"w": torch.zeros(1)})  # noqa: E731
    with pytest.raises(PayloadError, match="site_a: tensors missing"):
        compare(FakeRun(tmp_path, values, answer), tiny_plan(values), TrainingState({}))
