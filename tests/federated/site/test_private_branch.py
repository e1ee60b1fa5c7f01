# SPDX-License-Identifier: Apache-2.0
"""A site's branch with differential privacy: who decides, what leaves, what is counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dsfedmed.errors import ConfigError
from dsfedmed.exchange.compression import pack
from dsfedmed.exchange.sampled_accounting import SampledRelease, epsilon_of_all
from dsfedmed.federated.party.branch_privacy import BranchRule
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.private_branch import Wanted, stricter
from dsfedmed.federated.site.serve import answer
from dsfedmed.federated.site.tasks.generator import fit_site_branch
from dsfedmed.federated.wire.message import Envelope, Message, SiteError, open_reply, reply_message, request_message
from dsfedmed.federated.wire.requests.generator import BaseRequest, BranchPrivacy, BranchReply, BranchRequest
from dsfedmed.federated.wire.tasks import BASE, BRANCH
from dsfedmed.generator.networks.embedded import build_base
from tests.federated.tiny import tiny_plan, tiny_settings

STEPS, PATIENTS = 2, 6
ASKED = BranchPrivacy(epsilon=8.0)


@pytest.fixture(scope="module")
def plan() -> FederationPlan:
    return tiny_plan(tiny_settings(light={"precision": "fp32"}, generator_model={"batch_size": 3}))


@pytest.fixture
def private(site: SiteContext, tmp_path: Path) -> SiteContext:
    """The site with an account, and no rule of its own yet."""
    return SiteContext(site.name, replace(site.config, branch_account=tmp_path / "account.json"), site.folder)


def ruled(site: SiteContext, rule: BranchRule | None, folder: str = "other") -> SiteContext:
    """Return the site with a rule and an empty folder, so that no reply is kept."""
    return SiteContext(site.name, replace(site.config, branch_privacy=rule), site.folder.with_name(folder))


def request(plan: FederationPlan, privacy: BranchPrivacy = ASKED, seed: int = 0) -> Envelope[BranchRequest]:
    base = pack(dict(build_base(plan.generator, 1).state_dict()), "fp32")
    common = replace(plan.common, seed=seed)
    return Envelope(BranchRequest(common, plan.generator, None, STEPS, privacy), base)


@pytest.mark.parametrize(
    ("rule", "asked", "expected"),
    [
        (None, BranchPrivacy(), None),
        (None, BranchPrivacy(3.0), Wanted(3.0, 1 / 60, 1.0, 1, 0.0)),
        (BranchRule(1.0), BranchPrivacy(), Wanted(1.0, 1 / 60, 1.0, 1, 0.0)),
        (BranchRule(1.0, 1e-5, 0.5, 4.0), BranchPrivacy(3.0, 1e-6, 2.0, 4), Wanted(1.0, 1e-6, 0.5, 4, 4.0)),
        (BranchRule(3.0, 1e-6), BranchPrivacy(1.0, 1e-5, 2.0), Wanted(1.0, 1e-6, 2.0, 1, 0.0)),
    ],
)
def test_the_stricter_of_site_and_job_counts(
    rule: BranchRule | None, asked: BranchPrivacy, expected: Wanted | None
) -> None:
    assert stricter(rule, asked, PATIENTS) == expected


def test_a_private_branch_states_its_cost_and_no_loss_leaves(private: SiteContext, plan: FederationPlan) -> None:
    steps: list[tuple[int, int]] = []
    private.on_progress = lambda done, total: steps.append((done, total))
    reply = fit_site_branch(private, request(plan))
    stated = reply.body.privacy
    assert stated is not None
    assert reply.body.loss is None
    assert reply.header.scalars == {}
    assert (stated.unit, stated.clip, stated.rate, stated.steps, stated.branches) == ("patient", 1.0, 0.5, STEPS, 1)
    assert stated.delta == pytest.approx(1 / (10 * PATIENTS))
    cost = SampledRelease(stated.noise_multiplier, 0.5, STEPS)
    assert stated.epsilon == stated.total_epsilon == pytest.approx(epsilon_of_all([cost], stated.delta))
    assert 0.9 * 8 < stated.epsilon <= 8
    assert steps == [(1, STEPS), (2, STEPS)]
    (entry,) = json.loads((private.config.need("branch_account")).read_text())
    assert entry["secret"] not in json.dumps(reply_message(reply).info), "the secret of the noise stays"
    open_reply(BRANCH, reply_message(reply), "site_a")


def test_a_repeated_fit_gives_the_same_bits_and_a_new_one_is_counted(
    private: SiteContext, plan: FederationPlan
) -> None:
    """As after a site that was killed in the middle, or lost its kept replies; the seed is the server's to choose."""
    first, again = (fit_site_branch(ruled(private, None, name), request(plan)) for name in ("one", "two"))
    assert all(torch.equal(first.tensors[name], again.tensors[name]) for name in first.tensors)
    assert again.body == first.body
    other = fit_site_branch(private, request(plan, seed=1))
    assert other.body.privacy is not None
    assert first.body.privacy is not None
    assert other.body.privacy.branches == 2
    assert other.body.privacy.total_epsilon > first.body.privacy.total_epsilon


def test_whoever_knows_the_seed_does_not_know_the_noise(
    private: SiteContext, plan: FederationPlan, tmp_path: Path
) -> None:
    """Two sites with the same data, name and request: all that the server knows. Their accounts differ."""
    twin = SiteContext(private.name, replace(private.config, branch_account=tmp_path / "twin.json"), tmp_path / "twin")
    ours, theirs = fit_site_branch(private, request(plan)), fit_site_branch(twin, request(plan))
    assert any(not torch.equal(ours.tensors[name], theirs.tensors[name]) for name in ours.tensors)


def test_a_site_s_rule_holds_whatever_the_job_asks(private: SiteContext, plan: FederationPlan) -> None:
    insists = ruled(private, BranchRule(2.0, max_epsilon=2.5))
    stated = fit_site_branch(insists, request(plan, BranchPrivacy())).body.privacy
    assert stated is not None
    assert stated.epsilon <= 2
    with pytest.raises(ConfigError, match="budget for private branches is used up"):
        fit_site_branch(insists, request(plan, BranchPrivacy(), seed=1))


def test_a_reply_from_before_the_rule_is_not_given_again(private: SiteContext, plan: FederationPlan) -> None:
    message = request_message(request(plan, BranchPrivacy()))
    before = answer(private, BRANCH.name, message)
    assert isinstance(before, Message)
    assert open_reply(BRANCH, before, "site_a").body.loss is not None
    now = answer(
        SiteContext(private.name, replace(private.config, branch_privacy=BranchRule(5.0)), private.folder),
        BRANCH.name,
        message,
    )
    assert isinstance(now, Message)
    body = open_reply(BRANCH, now, "site_a").body
    assert isinstance(body, BranchReply)
    assert body.privacy is not None


def test_a_site_that_insists_fits_no_base_and_says_why(private: SiteContext, plan: FederationPlan) -> None:
    body = BaseRequest(plan.common, plan.generator, 1, 1, 0, 1)
    base = pack(dict(build_base(plan.generator, 1).state_dict()), "fp32")
    refused = answer(ruled(private, BranchRule(3.0)), BASE.name, request_message(Envelope(body, base)))
    assert isinstance(refused, SiteError), "the reason reaches the server"
    assert "insists on private branches" in refused.reason
    assert "generator.base: given" in refused.fix
