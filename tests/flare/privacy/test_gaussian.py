# SPDX-License-Identifier: Apache-2.0
"""Clipped and noisy updates: how much, whose, accounted for how, and never a second draw."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from dsfedmed.errors import ConfigError, PayloadError
from dsfedmed.exchange.accounting import epsilon_of
from dsfedmed.exchange.noise import clip_to_norm, global_norm
from dsfedmed.federated.wire.message import PrivacyStatement, open_header
from dsfedmed.federated.wire.requests.generator import BaseReply, BranchReply, BranchStatement
from dsfedmed.federated.wire.requests.semi_supervised import LabelReply
from dsfedmed.federated.wire.requests.training import LocalReply, TrainReply
from dsfedmed.flare.privacy.gaussian import GaussianMechanism
from tests.flare.privacy.conftest import Hospital, content, header, reason, reply, train_reply, update


def account(hospital: Hospital) -> list[dict[str, Any]]:
    return list(json.loads((hospital.local / "privacy_budget-hospital_a.json").read_text()))


def test_an_update_leaves_clipped_and_with_noise_of_the_right_size(hospital: Hospital) -> None:
    wide = train_reply({"w": torch.ones(200, 200), "b": torch.ones(100)})
    sent = content(GaussianMechanism(clip=2.0, noise_multiplier=0.5).process(wide, hospital.at("dsf_train")))
    clipped = clip_to_norm({"w": torch.ones(200, 200), "b": torch.ones(100)}, 2.0)
    assert global_norm(clipped) == pytest.approx(2.0)
    noise = torch.cat([(sent.tensors[name] - clipped[name]).reshape(-1) for name in clipped])
    assert float(noise.std()) == pytest.approx(0.5 * 2.0, rel=0.02)
    assert sent.is_difference


def test_the_reply_keeps_its_facts_and_states_the_account(hospital: Hospital) -> None:
    mechanism = GaussianMechanism(clip=1.0, noise_multiplier=4.0, delta=1e-6)
    first = header(mechanism.process(update(), hospital.at("dsf_train")))
    assert first.update is not None
    assert first.update.precision == "int8"
    assert first.privacy is not None
    assert (first.privacy.mechanism, first.privacy.clip, first.privacy.noise_multiplier) == ("gaussian", 1.0, 4.0)
    assert first.privacy.epsilon == pytest.approx(epsilon_of(2 / 4.0, 1e-6))
    second = header(mechanism.process(update(0.5), hospital.at("dsf_train", "run-2")))
    assert second.privacy is not None
    assert second.privacy.epsilon == pytest.approx(epsilon_of(2**0.5 * 2 / 4.0, 1e-6)), "over all runs"
    assert second.privacy.releases == len(account(hospital)) == 2


def test_the_same_request_gets_the_same_noise_even_after_a_restart(hospital: Hospital) -> None:
    first, again = (
        content(GaussianMechanism(clip=1.0, noise_multiplier=1.0).process(update(), hospital.at("dsf_train")))
        for _ in range(2)
    )
    assert all(torch.equal(first.tensors[name], again.tensors[name]) for name in first.tensors)
    assert first.info == again.info
    assert len(account(hospital)) == 1


def test_another_update_gets_other_noise_and_seeds_never_leave(hospital: Hospital) -> None:
    mechanism = GaussianMechanism(clip=100.0, noise_multiplier=1.0)
    sent = [content(mechanism.process(update(s), hospital.at("dsf_train"))) for s in (0.25, 0.5)]
    noise = [message.tensors["norm.bias"] - scale for message, scale in zip(sent, (0.25, 0.5), strict=True)]
    assert not torch.allclose(noise[0], noise[1], atol=1e-3)
    seeds = [entry["seed"] for entry in account(hospital)]
    assert len(set(seeds)) == 2
    assert not any(str(seed) in str(message.info) for seed in seeds for message in sent)


def test_a_used_up_budget_is_a_refusal_and_spends_nothing_more(hospital: Hospital) -> None:
    limit = epsilon_of(2 / 4.0, 1e-5) * 1.01
    mechanism = GaussianMechanism(clip=1.0, noise_multiplier=4.0, max_epsilon=limit)
    assert content(mechanism.process(update(), hospital.at("dsf_train"))).tensors
    assert "budget is used up" in reason(mechanism.process(update(-0.5), hospital.at("dsf_train")))
    assert content(mechanism.process(update(), hospital.at("dsf_train"))).tensors, "the old one may be asked again"
    assert len(account(hospital)) == 1


def test_whole_weights_stay_unless_the_site_lets_them_pass(hospital: Hospital) -> None:
    private = {"clip": 1.0, "noise_multiplier": 1.0}
    weights = {"w": torch.rand(3)}
    replies = {"dsf_branch": reply(BranchReply(0.1), weights), "dsf_local": reply(LocalReply(0.5, 1, 3), weights)}
    for task, branch in replies.items():
        assert "no noise covers" in reason(GaussianMechanism(**private).process(branch, hospital.at(task)))
        assert GaussianMechanism(**private, networks="pass").process(branch, hospital.at(task)) is branch


def test_a_private_branch_passes_alone_where_the_site_says_so(hospital: Hospital) -> None:
    mechanism = GaussianMechanism(clip=1.0, noise_multiplier=1.0, networks="private")
    weights = {"w": torch.rand(3)}
    stated = BranchStatement("patient", 1.0, 2.5, 0.3, 40, 3.0, 1e-4, 4.5, 2)
    private = reply(BranchReply(None, stated), weights)
    assert mechanism.process(private, hospital.at("dsf_branch")) is private
    for task, other in (("dsf_branch", BranchReply(0.1)), ("dsf_local", LocalReply(0.5, 1, 3))):
        assert "no noise covers" in reason(mechanism.process(reply(other, weights), hospital.at(task)))
    refuses = GaussianMechanism(clip=1.0, noise_multiplier=1.0)
    assert "no noise covers" in reason(refuses.process(private, hospital.at("dsf_branch")))


def test_what_is_no_update_passes(hospital: Hospital) -> None:
    mechanism = GaussianMechanism(clip=1.0, noise_multiplier=1.0)
    for task, told in (("dsf_label", reply(LabelReply(3, 12, 0.9))), ("dsf_train", reply(TrainReply(1, 0.5)))):
        assert mechanism.process(told, hospital.at(task)) is told


def test_what_cannot_be_covered_fails_closed(hospital: Hospital) -> None:
    only_train = GaussianMechanism(clip={"dsf_train": 1.0}, noise_multiplier=1.0)
    base = reply(BaseReply(1, 0.1), {"w": torch.rand(3)}, True)
    assert "no clipping norm is set" in reason(only_train.process(base, hospital.at("dsf_base")))
    assert "no clipping norm" in reason(
        only_train.process(train_reply({"w": torch.rand(3)}, diff=False), hospital.at("dsf_train"))
    )
    whole = train_reply({"w": torch.tensor([1, 2])})
    assert "cannot be clipped" in reason(only_train.process(whole, hospital.at("dsf_train")))


def test_half_precision_stays_half_and_finite(hospital: Hospital) -> None:
    base = reply(BaseReply(1, 0.1), {"w": torch.full((64,), 100.0).half()}, True)
    sent = content(GaussianMechanism(clip=1e5, noise_multiplier=1.0).process(base, hospital.at("dsf_base")))
    assert sent.tensors["w"].dtype == torch.float16
    assert bool(torch.isfinite(sent.tensors["w"]).all())


@pytest.mark.parametrize(
    "wrong", [{"clip": 0}, {"clip": {}}, {"noise_multiplier": 0}, {"delta": 0}, {"delta": 1}, {"networks": "maybe"}]
)
def test_settings_out_of_range_stop_the_site_s_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        GaussianMechanism(**{"clip": 1.0, "noise_multiplier": 1.0, **wrong})


def test_the_server_reads_only_a_statement_it_knows() -> None:
    good = {
        "mechanism": "gaussian",
        "clip": 1.0,
        "noise_multiplier": 1.0,
        "epsilon": None,
        "delta": 1e-5,
        "releases": 3,
    }
    message = content(update())
    said = {"privacy": good, **{key: message.info["header"][key] for key in ("seconds", "update")}}
    stated = open_header(replace(message, info={**message.info, "header": said}), "a").privacy
    assert stated == PrivacyStatement("gaussian", 1.0, 1.0, None, 1e-5, 3)
    for wrong in ("dp", {**good, "clip": "<b>"}, {**good, "note": "x"}, {**good, "mechanism": "laplace"}):
        with pytest.raises(PayloadError, match=r"a: sent ReplyHeader\.privacy"):
            open_header(replace(message, info={**message.info, "header": {**said, "privacy": wrong}}), "a")
