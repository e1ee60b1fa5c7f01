# SPDX-License-Identifier: Apache-2.0
"""FedDG-GA: two toy sites by hand, and what the robust settings do beside it.

What a site answers: ``tests/federated/site/tasks/test_train.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.errors import ConfigError, PayloadError
from dsfedmed.federated.methods import workflow_of
from dsfedmed.federated.methods.baselines.feddg_ga import FedDGGA
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.training_run import TrainingSpec, reply_check, resume_or_start, train_round
from dsfedmed.federated.server.training_state import TrainingState
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.training import TrainReply, TrainRequest
from tests.federated.tiny import FakeRun, tiny_plan, tiny_settings
from tests.runs.smoke import smoke

ARRIVED = {"site_a": [0.4, 0.2, 0.2], "site_b": [0.4, 0.6, 0.6]}
"""Dice of the weights that arrive, by round."""
TRAINED = {"site_a": 0.6, "site_b": 0.5}
UPDATE = {"site_a": 1.0, "site_b": 5.0}


def answer(site: str, _: Any, request: Envelope[TrainRequest]) -> Envelope[TrainReply]:
    assert request.body.validate_trained
    number = request.body.round.round
    reply = TrainReply(number, ARRIVED[site][number - 1], 0.5, 3, TRAINED[site])
    return Envelope(reply, {"w": torch.full((1,), UPDATE[site])}, True)


def setting(
    folder: Path, sites: Callable[..., Any] = answer, **changes: Any
) -> tuple[Any, FederationPlan, TrainingSpec]:
    settings = tiny_settings(rounds=4, light={"precision": "fp32"}, **changes)
    plan = tiny_plan(settings)
    return FakeRun(folder, settings, sites), plan, FedDGGA(settings).training(plan)


def after(rounds: int, folder: Path, **changes: Any) -> TrainingState:
    run, plan, spec = setting(folder, **changes)
    for _ in range(rounds):
        state = train_round(run, plan, spec, resume_or_start(run, spec, {"w": torch.zeros(1)}))
    return state


def test_two_rounds_by_hand(tmp_path: Path) -> None:
    """Begin alike, whatever the counts (4 and 12): (1 + 5) / 2. Then a lost 0.4 by the mean and b gained 0.1, so that
    a has 0.5 + 0.075 and b 0.5 - 0.075 / 4 of 1.05625, where 0.075 = 0.2 * 3 / 4 / 2.
    """
    first = after(1, tmp_path / "one")
    assert (first.weights["w"].item(), first.shares) == (3.0, {"site_a": 0.5, "site_b": 0.5})
    second = after(2, tmp_path / "two")
    shares = {"site_a": 0.575 / 1.05625, "site_b": 0.48125 / 1.05625}
    assert second.shares == pytest.approx(shares)
    assert second.weights["w"].item() == pytest.approx(3 + shares["site_a"] + 5 * shares["site_b"])


def test_after_an_undone_round_nothing_is_a_gap(tmp_path: Path) -> None:
    """The sites' next validation is that of older weights, and not of the mean of what they trained."""
    assert after(1, tmp_path / "one").trained == TRAINED
    undone = after(2, tmp_path / "two", guard={"fall": 0.01})
    assert undone.undone == 0, "the sites' mean Dice has not fallen"
    ARRIVED["site_b"][1], kept = 0.1, ARRIVED["site_b"][1]
    try:
        undone = after(2, tmp_path / "three", guard={"fall": 0.01})
    finally:
        ARRIVED["site_b"][1] = kept
    assert (undone.undone, undone.trained) == (1, {})


def test_a_refused_update_has_no_weight_and_no_gap(tmp_path: Path) -> None:
    """Without b the mean is a's update, whatever a's weight is; b's next gap is not known."""

    def bad(site: str, task: Any, request: Envelope[TrainRequest]) -> Envelope[TrainReply]:
        good = answer(site, task, request)
        return replace(good, tensors={"w": torch.full((1,), 1e6)}) if site == "site_b" else good

    run, plan, spec = setting(tmp_path, bad, min_sites=1)
    state = train_round(run, plan, spec, TrainingState({"w": torch.ones(1)}))
    assert state.weights["w"].item() == pytest.approx(2.0)
    assert state.trained == {"site_a": 0.6}


def test_a_site_that_did_not_validate_what_it_trained_is_refused(tmp_path: Path) -> None:
    _, plan, spec = setting(tmp_path)
    check = reply_check(plan, spec, plan.round_facts(spec.name, 1))
    check("site_a", TrainReply(1, 0.5, 0.5, 1, 0.5))
    with pytest.raises(PayloadError, match="site_a: sent no validation of what it trained"):
        check("site_a", TrainReply(1, 0.5, 0.5, 1))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": {"step": 0.0}}, "method.step"),
        ({"method": {"step": 1.1}}, "method.step"),
        ({"robust": {"rule": "median"}}, "robust.rule: FedDG-GA sets the sites' weights"),
        ({"robust": {"max_share": 0.5}}, "robust.max_share: FedDG-GA sets the sites' weights"),
    ],
)
def test_what_does_not_go_with_it_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        workflow_of("feddg_ga", smoke("feddg_ga", **changes))
