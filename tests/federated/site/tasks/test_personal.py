# SPDX-License-Identifier: Apache-2.0
"""A site's round of pFedSAM: two branches, one of which stays; a missed round; the same round asked twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from dsfedmed.exchange.compression import add
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.teacher import with_low_rank
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.personal import best_branch, train_personal
from dsfedmed.federated.wire.message import Envelope, ReplyHeader, UpdateHeader
from dsfedmed.federated.wire.requests.evaluation import EvaluateRequest
from dsfedmed.federated.wire.requests.training import PersonalRequest, TrainReply
from dsfedmed.federated.wire.tasks import PERSONAL
from dsfedmed.networks.local_experts import EXPERTS
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.store.files import read_json, read_tensors
from dsfedmed.training.personal_config import PersonalConfig
from tests.federated.tiny import arrived, sent, tiny_plan, tiny_settings

CONFIG = PersonalConfig(learning_rate=0.01)


@pytest.fixture(scope="module")
def plan() -> FederationPlan:
    return tiny_plan(tiny_settings(light={"precision": "fp32"}))


@pytest.fixture(scope="module")
def start(plan: FederationPlan) -> Weights:
    return copied_tensors(with_low_rank(plan, plan.teacher_network()))


def ask(
    plan: FederationPlan, weights: Weights, number: int, epochs: int = 1, **method: Any
) -> Envelope[PersonalRequest]:
    facts = replace(plan.round_facts("pfedsam", number), epochs=epochs)
    body = PersonalRequest(plan.common, facts, plan.teacher_spec, plan.teacher_init, replace(CONFIG, **method))
    return arrived(PERSONAL, Envelope(body, sent(weights)))


def scored(plan: FederationPlan, config: PersonalConfig | None = CONFIG) -> EvaluateRequest:
    return EvaluateRequest(plan.common, plan.teacher_spec, plan.teacher_init, {"pfedsam": "low_rank"}, personal=config)


def branch(site: SiteContext, number: int) -> Weights:
    return _stored(site, f"pfedsam-{number:04d}")


def _stored(site: SiteContext, name: str) -> Weights:
    return read_tensors(site.folder / "personal" / f"{name}.safetensors")


def test_a_round_sends_the_global_branch_and_keeps_the_personal_one(
    site: SiteContext, plan: FederationPlan, start: Weights
) -> None:
    reply = train_personal(site, ask(plan, start, 1))
    assert reply.is_difference
    assert reply.header.update == UpdateHeader("pfedsam", 1, "fp32")
    assert reply.tensors.keys() == start.keys()
    assert not [name for name in reply.tensors if EXPERTS in name]
    assert reply.body.steps == 4, "two phases of two steps"
    assert any(float(tensor.abs().max()) > 0 for tensor in reply.tensors.values())
    own = branch(site, 1)
    assert [name for name in own if EXPERTS in name]
    sent = add(start, reply.tensors)
    assert any(not torch.equal(own[name], sent[name]) for name in sent), "two branches that learned apart"


def test_the_same_round_gives_the_same_bits(site: SiteContext, plan: FederationPlan, start: Weights) -> None:
    first = train_personal(site, ask(plan, start, 1))
    kept = branch(site, 1)
    again = train_personal(site, ask(plan, start, 1))
    assert all(torch.equal(again.tensors[name], tensor) for name, tensor in first.tensors.items())
    assert all(torch.equal(branch(site, 1)[name], tensor) for name, tensor in kept.items())


def test_the_personal_branch_goes_on_behind_a_missed_round(
    site: SiteContext, plan: FederationPlan, start: Weights
) -> None:
    """Round 3 without round 2 starts from the branch behind round 1, not from the global one."""
    update = train_personal(site, ask(plan, start, 1)).tensors
    far = {name: tensor + 1.0 for name, tensor in add(start, update).items()}
    train_personal(site, ask(plan, far, 3, direction="none"))
    before, after = branch(site, 1), branch(site, 3)
    assert max(float((after[name] - before[name]).abs().max()) for name in before) < 0.5


def test_synced_it_starts_from_the_servers(site: SiteContext, plan: FederationPlan, start: Weights) -> None:
    train_personal(site, ask(plan, start, 1))
    far = {name: tensor + 1.0 for name, tensor in start.items()}
    train_personal(site, ask(plan, far, 2, direction="none", personal_sync="lora+decoder"))
    after = branch(site, 2)
    shared = [name for name in far if name in after and "lora" in name]
    assert all(float((after[name] - far[name]).abs().max()) < 0.5 for name in shared)


def test_behind_a_warm_up_it_starts_as_the_global_branch_that_arrives(
    site: SiteContext, plan: FederationPlan, start: Weights
) -> None:
    first = train_personal(site, ask(plan, start, 1, warmup_rounds=1))
    assert first.body.steps == 2, "phase G alone"
    assert not (site.folder / "personal").exists()
    far = {name: tensor + 1.0 for name, tensor in start.items()}
    second = train_personal(site, ask(plan, far, 2, warmup_rounds=1, direction="none"))
    assert second.body.steps == 4
    own = branch(site, 2)
    assert all(0 < float((own[name] - far[name]).abs().max()) < 0.5 for name in far if "lora" in name)


def test_the_personal_branch_may_have_a_rate_of_its_own(
    site: SiteContext, plan: FederationPlan, start: Weights
) -> None:
    reply = train_personal(site, ask(plan, start, 1, direction="none", personal_learning_rate=1e-6))
    own = branch(site, 1)
    shared = [name for name in start if name in own and "lora" in name]
    assert max(float((own[name] - start[name]).abs().max()) for name in shared) < 1e-5
    assert max(float(reply.tensors[name].abs().max()) for name in shared) > 1e-3


def test_the_running_mean_by_hand(site: SiteContext, plan: FederationPlan, start: Weights) -> None:
    """Decay 0.75 over two rounds: 0.75 of the first branch and 0.25 of the second; training goes on from the second."""
    for number in (1, 2):
        train_personal(site, ask(plan, start, number, personal_average=0.75))
    folder = site.folder / "personal"
    mean = _stored(site, "pfedsam-mean-0002")
    first, second = branch(site, 1), branch(site, 2)
    assert all(torch.allclose(mean[name], 0.75 * first[name] + 0.25 * second[name]) for name in mean)
    assert any(not torch.equal(mean[name], second[name]) for name in mean)
    assert all(torch.equal(tensor, first[name]) for name, tensor in _stored(site, "pfedsam-mean-0001").items())
    best = read_json(folder / "pfedsam-best.json")["round"]
    kept = _stored(site, "pfedsam-best")
    assert all(torch.equal(kept[name], tensor) for name, tensor in _stored(site, f"pfedsam-mean-000{best}").items())


def test_the_best_branch_by_the_sites_own_validation_is_the_one_that_is_scored(
    site: SiteContext, plan: FederationPlan, start: Weights
) -> None:
    assert best_branch(site, scored(plan), "pfedsam") is None
    train_personal(site, ask(plan, start, 1))
    last = train_personal(site, ask(plan, start, 1, epochs=0))
    assert last.tensors == {}
    assert last.body == TrainReply(1, last.body.validation)
    assert last.body.validation is not None
    assert last.header == ReplyHeader()
    known = read_json(site.folder / "personal" / "pfedsam-best.json")
    assert known["round"] == 1
    assert known["validation_dice"] >= 0
    network = best_branch(site, scored(plan), "pfedsam")
    assert network is not None
    kept = read_tensors(site.folder / "personal" / "pfedsam-best.safetensors")
    state = network.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in kept.items())


def test_without_the_methods_options_no_branch_is_built(
    site: SiteContext, plan: FederationPlan, start: Weights
) -> None:
    train_personal(site, ask(plan, start, 1))
    assert best_branch(site, scored(plan, None), "pfedsam") is None
    assert best_branch(site, scored(plan), "another") is None


def test_old_branches_are_cleared(site: SiteContext, plan: FederationPlan, start: Weights) -> None:
    for number in range(1, 6):
        train_personal(site, ask(plan, start, number))
    kept = sorted(path.stem for path in (site.folder / "personal").glob("pfedsam-0*.safetensors"))
    assert kept == ["pfedsam-0003", "pfedsam-0004", "pfedsam-0005"]
