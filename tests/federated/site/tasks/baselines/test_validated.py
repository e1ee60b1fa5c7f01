# SPDX-License-Identifier: Apache-2.0
"""A site's round of FedDG-GA: FedAvg's, and the validation of what was trained."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dsfedmed.exchange.compression import add
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.site.context import SiteContext
from dsfedmed.federated.site.tasks.train import train
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.training import TrainRequest
from tests.federated.site.tasks.baselines.toy_site import as_in_fedavg, facts_of, same, sent, start_of


def test_asked_for_it_a_site_validates_what_it_trained(site: SiteContext, plan: FederationPlan) -> None:
    """The number is that of the next round's beginning; what is trained is FedAvg's to the last bit.

    The network begins with all pixels marked, and learns to mark fewer.
    """
    start, facts = start_of(site, plan), facts_of(plan, 1)
    start["2.bias"] = start["2.bias"] * 0 + 0.2
    body = TrainRequest(plan.common, facts, "light", plan.teacher_spec, validate_trained=True)
    told = train(site, Envelope(body, sent(start)))
    plain = train(site, Envelope(replace(body, validate_trained=False), sent(start)))
    reached = as_in_fedavg(site, plan, add(start, told.tensors), 2)
    assert plain.body.trained is None
    assert told.body.trained == pytest.approx(reached.body.validation)
    assert told.body.trained != told.body.validation
    assert same(told.tensors, plain.tensors)
