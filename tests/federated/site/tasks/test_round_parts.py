# SPDX-License-Identifier: Apache-2.0
"""The header of a trained round; the rest is looked at by the tests of the tasks that begin and end with it."""

from __future__ import annotations

from dsfedmed.federated.site.tasks.round_parts import round_header
from dsfedmed.federated.wire.message import UpdateHeader
from dsfedmed.federated.wire.requests.training import TrainReply
from tests.federated.tiny import tiny_plan, tiny_settings


def test_the_header_has_what_there_is() -> None:
    facts = tiny_plan(tiny_settings()).round_facts("fedavg", 4)
    header = round_header(facts, TrainReply(4, 0.5, 0.25, 3), "int8")
    assert header.scalars == {"fedavg/loss": 0.25, "fedavg/validation_dice": 0.5}
    assert (header.step, header.update) == (4, UpdateHeader("fedavg", 4, "int8"))
    assert round_header(facts, TrainReply(4, None, 0.25, 3), "fp16").scalars == {"fedavg/loss": 0.25}
