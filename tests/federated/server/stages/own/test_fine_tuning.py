# SPDX-License-Identifier: Apache-2.0
"""The stage of fine-tuning: what is asked, what counts, and replies that cannot be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.errors import PayloadError
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.own.fine_tuning import fine_tune
from dsfedmed.federated.server.training_state import TrainingState
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.reference import WEIGHTS
from dsfedmed.federated.wire.requests.training import LocalReply
from dsfedmed.training.baselines.options import FineTuneOptions
from tests.federated.tiny import FakeRun, tiny_plan, tiny_settings

OPTIONS = FineTuneOptions(epochs=3, rate_factor=0.5)
SETTINGS = tiny_settings(light={"rate_schedule": "cosine", "clip_norm": 5.0})


@dataclass
class Sites:
    """Two of 4 and 12 images, in batches of 4: at most 3 and 9 steps in three passes."""

    epoch: int = 2
    steps: int = 3
    validation: float = 0.5

    def __call__(self, site: str, task: Any, request: Any) -> Envelope[LocalReply]:
        more = 6 if site == "site_b" else 0
        return Envelope(LocalReply(self.validation, self.epoch, self.steps + more))


def state_of(plan: FederationPlan) -> TrainingState:
    weights = plan.start_weights()
    return TrainingState(weights, round=4, steps=100, best=weights)


def test_the_chosen_round_goes_to_the_sites_and_their_steps_count(tmp_path: Path) -> None:
    plan = tiny_plan(SETTINGS)
    state, run = state_of(plan), FakeRun(tmp_path, SETTINGS, Sites())
    fine_tune(run, plan, state, OPTIONS)  # type: ignore[arg-type]
    ((task, sites, request),) = run.asked
    assert (task, sites) == ("dsf_fine_tune", ("site_a", "site_b"))
    body = request.body
    assert (body.epochs, body.rate_schedule, body.rules.rate_factor, body.rules.clip_norm) == (3, "cosine", 0.5, 5.0)
    assert request.tensors.keys() == {WEIGHTS + name for name in state.best}
    assert state.steps == 100 + 3 + 9
    assert run.record.data["budgets"] == {"dsfedmed": {"rounds": 4, "local_steps": 112}}


def test_restarted_it_asks_nobody_and_counts_the_same(tmp_path: Path) -> None:
    plan = tiny_plan(SETTINGS)
    fine_tune(FakeRun(tmp_path, SETTINGS, Sites()), plan, state_of(plan), OPTIONS)  # type: ignore[arg-type]
    again = FakeRun(tmp_path, SETTINGS, lambda *_: pytest.fail("a finished stage is not done again"))
    state = state_of(plan)
    fine_tune(again, plan, state, OPTIONS)  # type: ignore[arg-type]
    assert state.steps == 112


@pytest.mark.parametrize(
    ("sites", "words"),
    [
        (Sites(epoch=4), "pass 4 of 3"),
        (Sites(steps=4), "4 of 3 steps"),
        (Sites(steps=10**9), "steps"),
        (Sites(validation=1.5), "validation"),
    ],
)
def test_a_reply_that_cannot_be_is_refused(tmp_path: Path, sites: Sites, words: str) -> None:
    plan = tiny_plan(SETTINGS)
    with pytest.raises(PayloadError, match=words):
        fine_tune(FakeRun(tmp_path, SETTINGS, sites), plan, state_of(plan), OPTIONS)  # type: ignore[arg-type]
