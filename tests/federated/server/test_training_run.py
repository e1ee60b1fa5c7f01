# SPDX-License-Identifier: Apache-2.0
"""A federated training round by round: the average by hand, the best round, and going on after a restart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import PayloadError
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.training_run import (
    NOTHING,
    TrainingSpec,
    end_with_average,
    most_steps,
    record_choice,
    reply_check,
    resume_or_start,
    round_facts,
    train_request,
    train_round,
    train_until,
    validate_training,
)
from dsfedmed.federated.server.training_state import TrainingState
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.uplink import pack_update
from dsfedmed.federated.wire.message import Envelope, open_reply, reply_message
from dsfedmed.federated.wire.requests.training import TrainReply, TrainRequest
from dsfedmed.federated.wire.task import Task
from dsfedmed.federated.wire.tasks import TRAIN
from dsfedmed.training.step_rules import StepRules
from tests.federated.tiny import BUNDLES, SITES, FakeRun, tiny_plan, tiny_settings

FEDAVG = TrainingSpec("fedavg")


class Sites:
    """Sites whose update is +1 (site_a, 4 images) and +5 (site_b, 12 images), 3 steps each: the mean is +4 a round."""

    def __init__(self, dice: list[float]) -> None:
        self.dice, self.requests = dice, []
        self.absent: set[str] = set()

    def __call__(self, site: str, task: Task[Any, Any], request: Envelope[TrainRequest]) -> Envelope[TrainReply] | None:
        assert task is TRAIN
        if site in self.absent:
            return None
        self.requests.append((site, request))
        facts = request.body.round
        weight = float(request.tensors["weights/w"][0])
        reached = int(weight // 4)
        validation = self.dice[reached] + (0.1 if site == "site_a" else -0.1)
        if facts.epochs == 0:
            return Envelope(TrainReply(facts.round, validation))
        update = {"w": torch.full((1,), 1.0 if site == "site_a" else 5.0)}
        return Envelope(TrainReply(facts.round, validation, 0.5, 3), update, True)


def _setting(folder: Path, dice: list[float], **changes: Any) -> tuple[Any, FederationPlan, Sites]:
    values, sites = tiny_settings(**changes), Sites(dice)
    return FakeRun(folder, values, sites), tiny_plan(values), sites


def _start() -> TrainingState:
    return TrainingState({"w": torch.zeros(1)})


def test_a_round_by_hand(tmp_path: Path) -> None:
    """(4 * 1 + 12 * 5) / 16 = 4."""
    run, plan, sites = _setting(tmp_path, [0.3])
    state = train_round(run, plan, FEDAVG, _start())
    assert state.weights["w"].tolist() == [4.0]
    assert (state.round, state.steps) == (1, 6)
    assert state.curve == [
        {"round": 1, "local_steps": 6, "validation": {}, "loss": {"site_a": 0.5, "site_b": 0.5}},
    ]
    assert run.tracked == [("fedavg/validation_dice", pytest.approx(0.3), 0)]
    site, request = sites.requests[0]
    facts = request.body.round
    assert (site, facts.round, facts.epochs, facts.training) == ("site_a", 1, 1, "fedavg")
    assert request.tensors["weights/w"].dtype == torch.float16


def test_a_round_without_a_site_averages_the_others(tmp_path: Path) -> None:
    run, plan, sites = _setting(tmp_path, [0.3])
    sites.absent = {"site_b"}
    state = train_round(run, plan, FEDAVG, _start())
    assert state.weights["w"].tolist() == [1.0]
    assert state.steps == 3


def test_a_validation_belongs_to_the_weights_before_the_training(tmp_path: Path) -> None:
    run, plan, _ = _setting(tmp_path, [0.2, 0.6, 0.4])
    state = train_until(run, plan, FEDAVG, _start(), lambda now: now.round >= 2, 2)
    assert [sorted(entry["validation"].values()) for entry in state.curve] == [
        [pytest.approx(0.5), pytest.approx(0.7)],
        [pytest.approx(0.3), pytest.approx(0.5)],
    ]
    assert (state.best_round, state.best_steps) == (1, 6)
    assert state.best["w"].tolist() == [4.0]
    assert state.weights["w"].tolist() == [8.0]
    assert state.selected() == {"round": 1, "local_steps": 6, "validation_dice": pytest.approx(0.6)}
    assert "fedavg round 2  validation Dice site_a 70.0 site_b 50.0" in run.progress.lines[-1]


def test_to_equal_steps_the_training_goes_on_until_it_has_them(tmp_path: Path) -> None:
    run, plan, _ = _setting(tmp_path, [0.1] * 9)
    state = train_until(run, plan, FEDAVG, _start(), lambda now: now.round >= 2, 2)
    state = train_until(run, plan, FEDAVG, state, lambda now: now.steps >= 20, 4)
    assert (state.round, state.steps) == (4, 24)
    again = train_until(run, plan, FEDAVG, state, lambda now: now.steps >= 20, 4)
    assert again.round == 4, "what is reached is not trained again"


def test_a_validation_alone_changes_no_weights(tmp_path: Path) -> None:
    run, plan, sites = _setting(tmp_path, [0.25])
    state = _start()
    assert validate_training(run, plan, FEDAVG, state) == pytest.approx(0.25)
    assert state.weights["w"].tolist() == [0.0]
    assert (state.round, state.steps, state.best_round) == (0, 0, 0)
    assert all(request.body.round.epochs == 0 for _, request in sites.requests)


def test_a_restarted_run_goes_on_to_the_same_end(tmp_path: Path) -> None:
    dice = [0.2, 0.7, 0.4, 0.3]
    unbroken, plan, _ = _setting(tmp_path / "unbroken", dice)
    whole = train_until(
        unbroken, plan, FEDAVG, resume_or_start(unbroken, FEDAVG, _start().weights), lambda now: now.round >= 3, 3
    )
    broken, plan, _ = _setting(tmp_path / "broken", dice)
    train_round(
        broken, plan, FEDAVG, train_round(broken, plan, FEDAVG, resume_or_start(broken, FEDAVG, _start().weights))
    )
    run, plan, sites = _setting(tmp_path / "broken", dice)
    state = resume_or_start(run, FEDAVG, {"w": torch.full((1,), 99.0)})
    assert state.round == 2
    state = train_until(run, plan, FEDAVG, state, lambda now: now.round >= 3, 3)
    assert [request.body.round.round for site, request in sites.requests if site == "site_a"] == [3, 3]
    assert (state.curve, state.steps, state.selected()) == (whole.curve, whole.steps, whole.selected())
    assert torch.equal(state.weights["w"], whole.weights["w"])
    assert torch.equal(state.best["w"], whole.best["w"])


def test_the_server_may_validate_itself_and_ask_some_sites_only(tmp_path: Path) -> None:
    """Site_b alone trains, +5 a round; the sites are not asked to validate, and the second round is the best."""
    run, plan, sites = _setting(tmp_path, [0.1] * 9)
    spec = TrainingSpec("samfed", validate=lambda weights: {"public": 0.1 * float(weights["w"][0])}, sites=("site_b",))
    state = train_until(run, plan, spec, _start(), lambda now: now.round >= 2, 2)
    assert float(state.weights["w"][0]) == 10.0
    assert {site for site, _ in sites.requests} == {"site_b"}
    assert all(request.body.round.epochs > 0 for _, request in sites.requests)
    assert [entry["validation"] for entry in state.curve] == [
        {"public": pytest.approx(0.5)},
        {"public": pytest.approx(1.0)},
    ]
    assert (state.best_round, state.best_dice) == (2, pytest.approx(1.0))


def test_the_last_round_may_be_chosen_whatever_its_dice(tmp_path: Path) -> None:
    run, plan, _ = _setting(tmp_path, [0.9, 0.5, 0.2], guard={"fall": 0.0})
    state = train_until(run, plan, FEDAVG, _start(), lambda now: now.round >= 2, 2)
    assert state.best_round == 0
    state.choose_last()
    assert (state.best_round, state.best_steps, state.best_dice) == (2, state.steps, pytest.approx(0.2))
    assert torch.equal(state.best["w"], state.weights["w"])


PLAN = tiny_plan(tiny_settings())
FACTS = PLAN.round_facts("fedavg", 3)
GOOD = TrainReply(3, 0.5, 0.1, 8)


def test_the_most_steps_of_a_round_by_hand() -> None:
    """12 images in batches of 4: at most 4 a branch and pass, with a synthetic step beside each."""
    assert most_steps(12, FACTS) == 4 * 4
    assert most_steps(12, replace(FACTS, epochs=3)) == 3 * 4 * 4
    assert most_steps(3, replace(FACTS, batch_size=4)) == 4
    assert most_steps(12, replace(FACTS, epochs=0)) == 0


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (replace(GOOD, round=2), "answered round 2 instead of 3"),
        (replace(GOOD, loss=None), "sent no loss"),
        (replace(GOOD, steps=None), "sent no steps"),
        (replace(GOOD, validation=None), "sent no validation"),
        (replace(GOOD, steps=9), "claims 9 gradient steps of at most 8"),
    ],
)
def test_a_reply_that_does_not_fit_the_round_is_refused(reply: TrainReply, reason: str) -> None:
    with pytest.raises(PayloadError, match=f"site_a: {reason}"):
        reply_check(PLAN, FEDAVG, FACTS)("site_a", reply)


def test_a_reply_that_fits_is_taken(tmp_path: Path) -> None:
    """Where the server validates, the sites need not; the most steps are still within it."""
    reply_check(PLAN, FEDAVG, FACTS)("site_a", replace(GOOD, steps=most_steps(4, FACTS)))


def test_steps_on_a_public_set_are_allowed_for() -> None:
    most = most_steps(4, FACTS) + 5
    check = reply_check(PLAN, replace(FEDAVG, public_steps=5), FACTS)
    check("site_a", replace(GOOD, steps=most))
    with pytest.raises(PayloadError, match=f"claims {most + 1} gradient steps of at most {most}"):
        check("site_a", replace(GOOD, steps=most + 1))
    at_the_server = replace(FEDAVG, validate=lambda _: {"public": 0.5})
    reply_check(PLAN, at_the_server, FACTS)("site_a", replace(GOOD, validation=None))


@pytest.mark.parametrize("number", [0, 2])
def test_an_answer_to_another_round_never_enters_the_mean(tmp_path: Path, number: int) -> None:
    run, plan, sites = _setting(tmp_path, [0.3])
    run.answer = lambda *asked: replace(sites(*asked), body=TrainReply(number, 0.3, 0.5, 3))
    with pytest.raises(PayloadError, match=f"site_a: answered round {number} instead of 1"):
        train_round(run, plan, FEDAVG, _start())
    assert not run.store.has("training-fedavg")


def test_a_validation_without_a_number_is_refused(tmp_path: Path) -> None:
    run, plan, _ = _setting(tmp_path, [0.3])
    run.answer = lambda _, __, request: Envelope(TrainReply(request.body.round.round))
    with pytest.raises(PayloadError, match="site_a: sent no validation"):
        validate_training(run, plan, FEDAVG, _start())


@pytest.mark.parametrize(
    ("network", "frozen"), [("light", False), ("teacher", False), ("adapted", True), ("low_rank", True)]
)
def test_the_frozen_part_is_named_where_it_lies_at_the_sites(network: Any, frozen: bool) -> None:
    spec = TrainingSpec("fedmsa", network, 3e-3, 0.02)
    body = train_request(PLAN, spec, FACTS, NOTHING)
    assert (body.teacher_init == PLAN.teacher_init) is frozen
    assert (body.teacher_init is None) is not frozen
    assert (body.common, body.round, body.teacher) == (PLAN.common, FACTS, PLAN.teacher_spec)
    assert (body.network, body.learning_rate, body.proximal, body.synthetic) == (network, 3e-3, 0.02, None)


def test_the_mean_of_the_last_rounds_is_what_a_run_ends_with(tmp_path: Path) -> None:
    """+4 a round: behind rounds 2 and 3 the weights are 8 and 12, their mean is 10, and the sites validate that."""
    run, plan, sites = _setting(tmp_path, [0.1, 0.9, 0.2, 0.3], rounds=3, guard={"fall": 0.0})
    spec = TrainingSpec("fedavg", average_rounds=2)
    state = train_until(run, plan, spec, _start(), lambda now: now.round >= 3, 3)
    assert (state.best_round, state.weights["w"].item()) == (1, 12.0)
    end_with_average(run, plan, spec, state)
    assert state.weights["w"].item() == state.best["w"].item() == 10.0
    assert state.selected() == {
        "round": 3, "local_steps": 18, "validation_dice": pytest.approx(0.2), "averaged_rounds": 2,
    }  # fmt: skip
    assert float(sites.requests[-1][1].tensors["weights/w"][0]) == 10.0
    assert "mean of the last 2 rounds: validation Dice 0.200" in run.progress.lines[-1]
    record_choice(run, "fedavg", state)
    assert run.record.data["selected"] == {"fedavg": state.selected()}
    assert run.record.data["budgets"] == {"fedavg": {"rounds": 3, "local_steps": 18}}
    assert resume_or_start(run, spec, {}).selected() == state.selected()


@pytest.mark.parametrize("dice", [[0.3, 0.5], [0.5, 0.25, 0.75, 0.125]])
def test_the_curve_in_the_record_is_that_of_the_state(tmp_path: Path, dice: list[float]) -> None:
    run, plan, _ = _setting(tmp_path, dice)
    rounds = len(dice) - 1
    state = train_until(run, plan, FEDAVG, _start(), lambda now: now.round >= rounds, rounds)
    assert run.record.data["curves"]["fedavg"] == state.curve
    assert [entry["round"] for entry in state.curve] == list(range(1, rounds + 1))
    assert [sum(entry["validation"].values()) / 2 for entry in state.curve] == [
        pytest.approx(value) for value in dice[1:]
    ]


@pytest.mark.parametrize(
    ("bundle", "rounds"), [("light_tinysam_segmentation", 2), ("light_flexible_unet_segmentation", 1)]
)
def test_rounds_with_real_sites(bundle: str, rounds: int, tmp_path: Path) -> None:
    """The sites' last batch holds one image, and normalisation takes it; the second round resumes the optimiser."""
    make_demo_sites(tmp_path / "images", 0, SITES, training=5, validation=2, test=2)
    plan = tiny_plan(tiny_settings(image_size=64, light={"bundle": bundle}), site_a=5, site_b=5)
    sites = {n: SiteContext(n, PartyConfig(data=tmp_path / "images" / n, bundles=BUNDLES), tmp_path / n) for n in SITES}

    def answer(site: str, task: Task[Any, Any], request: Envelope[Any]) -> Envelope[Any]:
        packed = pack_update(reply_message(task.load()(sites[site], request)), site, sites[site].folder)
        return open_reply(task, packed, site)

    run: Any = FakeRun(tmp_path / "run", plan.settings, answer)
    start = plan.start_weights()
    state = TrainingState(start)
    for _ in range(rounds):
        state = train_round(run, plan, FEDAVG, state)
    validate_training(run, plan, FEDAVG, state)
    assert [entry["loss"].keys() for entry in state.curve] == [set(SITES)] * rounds
    assert 0.0 <= state.best_dice <= 1.0
    assert set(state.weights) == set(start)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state.weights.values())
    statistics = {key: tensor for key, tensor in state.weights.items() if key.endswith("running_var")}
    assert any(not torch.equal(tensor, start[key]) for key, tensor in statistics.items()), "averaged like weights"
    assert all(float(tensor.min()) >= 0 for tensor in statistics.values())


def test_a_round_that_fell_too_far_is_undone_and_the_sites_go_on_at_half_the_rate(tmp_path: Path) -> None:
    """Dice 0.8 at the start, 0.1 after one round (weight 4): back to 0, then on again."""
    run, plan, sites = _setting(tmp_path, [0.8, 0.1])
    state = _start()
    for _ in range(3):
        state = train_round(run, plan, FEDAVG, state)
    sent = [float(request.tensors["weights/w"][0]) for site, request in sites.requests if site == "site_a"]
    assert sent == [0.0, 4.0, 0.0], "the last good weights are sent again"
    rates = [request.body.round.rules.rate_factor for site, request in sites.requests if site == "site_a"]
    assert rates == [1.0, 1.0, 0.5]
    assert (state.round, state.undone, state.collapsed) == (3, 1, False)
    kind, _, text = run.record.data["events"][0]
    assert kind == "undone"
    assert "fell by 0.700" in text


def test_a_training_that_falls_again_and_again_ends_and_is_said_to_have_collapsed(tmp_path: Path) -> None:
    run, plan, _ = _setting(tmp_path, [0.8, 0.1], guard={"patience": 2})
    state = train_until(run, plan, FEDAVG, _start(), lambda now: now.round >= 50, 50)
    assert state.collapsed
    assert state.round == 4, "two good rounds, each with an undone one behind it"
    record_choice(run, "fedavg", state)
    assert "collapsed" in run.collapses[0]
    assert state.best["w"].tolist() == [0.0], "what was good is kept"


def test_a_network_that_marks_nothing_has_collapsed(tmp_path: Path) -> None:
    run, _, _ = _setting(tmp_path, [])
    state = _start()
    state.best_dice = 0.0
    record_choice(run, "fedavg", state)
    assert "marks nothing" in run.collapses[0]


def test_the_rules_of_the_settings_reach_the_sites_and_the_rate_falls_over_the_rounds(tmp_path: Path) -> None:
    light = {"rate_schedule": "cosine", "ramp_steps": 3, "clip_norm": 1.5}
    run, plan, sites = _setting(tmp_path, [0.1, 0.2, 0.3], light=light)
    train_until(run, plan, replace(FEDAVG, rounds=2), _start(), lambda now: now.round >= 2, 2)
    rules = [request.body.round.rules for site, request in sites.requests if site == "site_a"]
    assert [(r.rate_factor, r.ramp_steps, r.clip_norm) for r in rules[:2]] == [(1.0, 3, 1.5), (0.5, 3, 1.5)]
    facts = round_facts(run, plan, replace(FEDAVG, network="teacher"), _start())
    assert facts.rules == StepRules(), "the teacher's training has its own learning rate"
