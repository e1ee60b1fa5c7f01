# SPDX-License-Identifier: Apache-2.0
"""A finished network: the light one, scored by everybody, unless it says otherwise; every kind may be asked for."""

from __future__ import annotations

import typing
from typing import Any

import pytest
import torch

from dsfedmed.federated.server.scored_model import ScoredModel
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.evaluation import EvaluateRequest
from dsfedmed.federated.wire.specs import NetworkKind
from dsfedmed.federated.wire.tasks import EVALUATE
from tests.federated.tiny import arrived, tiny_plan, tiny_settings


def test_it_is_the_light_network_of_all_sites_unless_it_says_otherwise() -> None:
    weights = {"w": torch.ones(1)}
    model = ScoredModel(weights)
    assert model.weights is weights
    assert (model.network, model.sites, model.personal, model.site_networks) == ("light", None, None, {})


@pytest.mark.parametrize("kind", typing.get_args(NetworkKind))
def test_every_kind_can_be_asked_for(kind: Any) -> None:
    plan = tiny_plan(tiny_settings())
    model = ScoredModel({}, kind)
    body = EvaluateRequest(plan.common, plan.teacher_spec, None, {"dsfedmed": model.network})
    assert arrived(EVALUATE, Envelope(body)).body.networks == {"dsfedmed": kind}
