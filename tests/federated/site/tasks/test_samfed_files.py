# SPDX-License-Identifier: Apache-2.0
"""What a site keeps between rounds of SAM-Fed: found again by round, and cleared with the replies."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dsfedmed.algorithms.agreement import AgreementState
from dsfedmed.errors import PayloadError, StoreError
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks import samfed_files
from dsfedmed.federated.site.tasks.samfed_files import (
    LOCAL,
    OWN,
    agreement,
    answers,
    keep_agreement,
    keep_answers,
    keep_network,
    latest_network,
    round_file,
)
from dsfedmed.federated.wire.message import CACHED_ROUNDS


def weights(value: float) -> dict[str, torch.Tensor]:
    return {"w": torch.tensor([value])}


def state(rate: float, steps: int) -> AgreementState:
    return AgreementState(torch.tensor(rate), torch.full((1, 2), 0.5), steps)


def test_sams_answers_come_back_as_probabilities(site: SiteContext) -> None:
    keep_answers(site, torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(3, 1, 1, 1))
    assert answers(site, 3, 1).flatten().tolist() == pytest.approx([0.0, 0.2, 1.0])
    with pytest.raises(PayloadError):
        answers(site, 4, 1)
    with pytest.raises(PayloadError):
        answers(site, 3, 2)


def test_a_site_that_missed_the_broadcast_says_so(site: SiteContext) -> None:
    with pytest.raises(PayloadError, match=r"site_a: has no answers of SAM.*dsf_label.*asked again"):
        answers(site, 1, 1)


def test_the_agreement_goes_on_from_the_round_before_and_no_other(site: SiteContext, plan: FederationPlan) -> None:
    facts = plan.round_facts("samfed", 3)
    keep_agreement(site, facts, state(0.75, 12))
    found = agreement(site, replace(facts, round=4), 1)
    assert (float(found.rate), found.steps, found.confidence.tolist()) == (0.75, 12, [[0.5, 0.5]])
    for other in (replace(facts, round=5), replace(facts, round=3), replace(facts, training="x", round=4)):
        new = agreement(site, other, 2)
        assert (new.steps, new.confidence.tolist()) == (0, [[1.0, 1.0]] * 2)


def test_a_network_is_that_of_the_last_round_before_this_one(site: SiteContext, plan: FederationPlan) -> None:
    """A round that is asked again after a later one starts where it started the first time."""
    assert latest_network(site, "samfed") == {}
    for number, value in ((1, 1.0), (2, 2.0), (9, 9.0), (10, 10.0)):
        keep_network(site, plan.round_facts("samfed", number), OWN, weights(value))
    keep_network(site, plan.round_facts("samfed", 20), LOCAL, weights(20.0))
    keep_network(site, plan.round_facts("other", 30), OWN, weights(30.0))
    found = {before: latest_network(site, "samfed", before) for before in (None, 11, 10, 9, 2, 1)}
    assert {before: float(kept["w"]) if kept else None for before, kept in found.items()} == {
        None: 10.0, 11: 10.0, 10: 9.0, 9: 2.0, 2: 1.0, 1: None,
    }  # fmt: skip


def test_what_is_too_old_to_be_asked_for_is_removed(site: SiteContext, plan: FederationPlan) -> None:
    for number in range(1, CACHED_ROUNDS + 3):
        facts = plan.round_facts("samfed", number)
        for kind in (LOCAL, OWN):
            keep_network(site, facts, kind, weights(number))
        keep_agreement(site, facts, state(0.5, number))
    kept = range(3, CACHED_ROUNDS + 3)
    expected = {f"samfed-{kind}-{number:04d}" for kind in ("agreement", LOCAL, OWN) for number in kept}
    assert {path.stem for path in samfed_files.folder(site).iterdir()} == expected


def test_a_name_that_leads_out_of_the_folder_is_refused(site: SiteContext) -> None:
    with pytest.raises(StoreError):
        round_file(site, "../x", OWN, 1)
