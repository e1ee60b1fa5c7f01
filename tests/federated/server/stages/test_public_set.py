# SPDX-License-Identifier: Apache-2.0
"""SAM-Fed at the server: the public set, the labels alone, the tuned teacher, and how long it is heard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dsfedmed.errors import ConfigError, DataError
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages import public_set as module
from dsfedmed.federated.server.stages.public_set import (
    PublicSet,
    labels_only,
    load_public_set,
    rounds_with_teacher,
    start_global,
    teacher_kind,
    tune_teacher,
    validate_weights,
)
from dsfedmed.federated.server.training_state import TrainingState
from dsfedmed.training.task import Batch, TrainingTask
from tests.federated.tiny import run_with_public


@pytest.fixture
def run(tmp_path: Path) -> Any:
    nobody = lambda *_: pytest.fail("nothing is asked of a site")  # noqa: E731
    return run_with_public(tmp_path, nobody, teacher={"epochs": 1, "tune": "lora"})


def test_the_set_is_laid_out_once(run: Any, plan: FederationPlan, public: PublicSet) -> None:
    assert (len(public.training), len(public.validation)) == (6, 3)
    assert set(public.training.origin) == {"public"}
    again = load_public_set(run, plan)
    assert again.manifest == public.manifest


def test_a_server_without_a_public_folder_is_told_where_to_write_it(run: Any, plan: FederationPlan) -> None:
    run.config = replace(run.config, public=None)
    with pytest.raises(ConfigError, match="`public` is not set"):
        load_public_set(run, plan)


def test_labels_of_another_kind_are_refused(run: Any, plan: FederationPlan) -> None:
    other = replace(plan, facts=replace(plan.facts, num_classes=2, label_names=("a", "b")))
    with pytest.raises(DataError, match="classes and nesting"):
        load_public_set(run, other)


def test_channels_of_other_names_are_refused(run: Any, plan: FederationPlan) -> None:
    facts = replace(plan.facts, channel_names=("T1",))
    with pytest.raises(DataError, match="names its channels not at all, the sites T1"):
        load_public_set(run, replace(plan, facts=facts))


def test_a_network_is_validated_on_the_public_validation_part(
    run: Any, plan: FederationPlan, public: PublicSet
) -> None:
    start = plan.start_weights()
    dice = validate_weights(run, plan, public, start)
    assert 0 <= dice <= 1
    assert validate_weights(run, plan, public, start) == dice
    closed = {name: torch.zeros_like(tensor) for name, tensor in start.items()}
    assert validate_weights(run, plan, public, closed) == 0.0, "logits of zero are no foreground"


def test_the_labels_alone_get_as_many_steps_as_they_are_given(
    run: Any, plan: FederationPlan, public: PublicSet
) -> None:
    """Six images in batches of four: two steps a pass; five steps need three passes."""
    weights = labels_only(run, plan, public, 5)
    assert run.record.data["budgets"]["labels_only"] == {"rounds": 3, "local_steps": 6}
    chosen = run.record.data["selected"]["labels_only"]
    assert 1 <= chosen["round"] <= 3
    assert chosen["local_steps"] == 2 * chosen["round"]
    start, steps = start_global(run, plan, public, 2)
    assert steps == 4
    assert start.keys() == weights.keys()


def test_a_method_may_start_by_a_loss_of_its_own(
    run: Any, plan: FederationPlan, public: PublicSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss pulls every logit down: two passes of two steps, of which the first validates better."""

    def down(network: nn.Module, batch: Batch, task: TrainingTask) -> Tensor:
        logits: Tensor = network(batch["image"])
        return logits.mean()

    monkeypatch.setattr(module, "validate_public", lambda *_: next(dice))
    dice = iter((0.2, 0.1))
    weights, steps = start_global(run, plan, public, 2, down)
    assert steps == 4
    assert run.store.get("public start").info == {"epoch": 1, "steps": 4, "validation_dice": 0.2}
    network, images = plan.light_network().eval(), public.training.images()
    with torch.no_grad():
        before = network(images).mean()
        network.load_state_dict(weights, strict=False)
        assert network(images).mean() < before


def test_the_teacher_travels_as_its_low_rank_updates_and_decoder(
    run: Any, plan: FederationPlan, public: PublicSet
) -> None:
    tuned = tune_teacher(run, plan, public)
    assert any("lora_B" in name for name in tuned)
    assert all(not name.startswith("image_encoder.") or "lora" in name for name in tuned)
    assert any(float(tensor.abs().max()) > 0 for name, tensor in tuned.items() if "lora_B" in name), "it learned"
    assert "random start" in run.record.data["teacher"]["teacher_weights"]


def test_tuned_in_full_it_travels_whole(run: Any, plan: FederationPlan, public: PublicSet) -> None:
    whole = replace(plan, settings=replace(plan.settings, teacher=replace(plan.settings.teacher, tune="full")))
    assert (teacher_kind(plan), teacher_kind(whole)) == ("low_rank", "teacher")
    tuned = tune_teacher(run, whole, public)
    assert tuned.keys() == plan.teacher_network().state_dict().keys()


def test_sam_is_heard_as_long_as_it_is_no_worse_than_the_global_network(run: Any) -> None:
    """SAM has 0.7 on the public validation part: the start has 0.6, rounds 1, 2 and 3 reach 0.7, 0.71 and 0.8."""
    run.store.put("public start", {"validation_dice": 0.6})
    run.store.put("tune teacher", {"validation_dice": 0.7})
    state, found = TrainingState({}), []
    for number, dice in enumerate((None, None, 0.7, 0.71)):
        if dice is not None:
            state.curve[-1]["validation"] = {"public": dice}
        state.round = number
        state.curve += [{"round": number, "validation": {}}] if number else []
        found.append(rounds_with_teacher(run, state))
    assert found[-1] == [True, True, True, False]
    assert [heard[-1] for heard in found] == found[-1], "what was said in a round stays true"
    state.curve[-1]["validation"] = {"public": 0.8}
    assert rounds_with_teacher(run, state)[:3] == [True, True, True]
