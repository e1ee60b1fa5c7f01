# SPDX-License-Identifier: Apache-2.0
"""Typed messages and their raw form: the same on both sides, and nothing else passes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dsfedmed.errors import ConfigError, PayloadError
from dsfedmed.federated.wire.message import (
    Envelope,
    Message,
    PrivacyStatement,
    ReplyHeader,
    SiteError,
    UpdateHeader,
    error_message,
    is_error,
    open_header,
    open_reply,
    open_request,
    reply_message,
    request_message,
    with_header,
)
from dsfedmed.federated.wire.requests.facts import FactsRequest
from dsfedmed.federated.wire.requests.generator import MasksReply
from dsfedmed.federated.wire.requests.training import TrainReply
from dsfedmed.federated.wire.tasks import FACTS, MASKS, TRAIN

HEADER = ReplyHeader(
    1.5,
    {"fedavg/loss": 0.25},
    3,
    UpdateHeader("fedavg", 3, "int8", "a" * 64),
    PrivacyStatement("gaussian", 1.0, 0.5, None, 1e-5, 2),
)


def test_a_request_comes_out_as_it_went_in() -> None:
    sent = Envelope(FactsRequest(), {"w": torch.arange(3.0)}, True)
    got = open_request(FACTS, request_message(sent))
    assert got.body == FactsRequest()
    assert got.is_difference
    assert torch.equal(got.tensors["w"], sent.tensors["w"])


def test_a_reply_comes_out_as_it_went_in_with_its_header() -> None:
    sent = Envelope(TrainReply(3, 0.5, 0.25, 12), {"w": torch.ones(2)}, True, HEADER)
    got = open_reply(TRAIN, reply_message(sent), "site_a")
    assert (got.body, got.header, got.is_difference) == (sent.body, HEADER, True)
    assert got.byte_count == 8
    assert got.without_tensors().tensors == {}
    assert got.without_tensors().body == sent.body


def test_another_header_leaves_the_body_as_it_is() -> None:
    message = reply_message(Envelope(MasksReply("deformed")))
    changed = with_header(message, HEADER)
    assert open_header(changed, "site_a") == HEADER
    assert open_reply(MASKS, changed, "site_a").body == MasksReply("deformed")
    assert open_header(message, "site_a") == ReplyHeader()


def test_an_error_names_the_site_and_shows_no_file() -> None:
    message = error_message(ConfigError("/data/patient_7.png", "has no label", "Add one"), "site_a")
    assert is_error(message)
    assert "patient_7" not in str(message.info)
    with pytest.raises(PayloadError, match=r"^site_a: has no label\. Add one$"):
        open_reply(FACTS, message, "site_a")
    assert not is_error(reply_message(Envelope(MasksReply("drawn"))))
    told = error_message(SiteError("site_a", "x" * 9000, "y" * 9000), "site_a")
    with pytest.raises(PayloadError, match=r"^site_a: xxx"):
        open_reply(FACTS, told, "site_a")


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"body": {"kind": "drawn"}},
        {"header": {}},
        {"body": {"kind": "drawn"}, "header": {}, "more": 1},
        {"body": {"kind": "stolen"}, "header": {}},
        {"body": {"kind": "drawn"}, "header": {"seconds": float("nan")}},
        {"body": {"kind": "drawn"}, "header": {"seconds": -1}},
        {"body": {"kind": "drawn"}, "header": {"update": {"training": "../x", "round": 1, "precision": "fp16"}}},
        {"body": {"kind": "drawn"}, "header": {"scalars": {"a": float("inf")}}},
        {"body": {"kind": "drawn"}, "header": {"privacy": {"mechanism": "laplace"}}},
        {"error": {"where": "a", "reason": "b"}},
        {"error": "no"},
        {"error": {"where": "a", "reason": "b", "fix": "c"}, "body": {}},
    ],
)
def test_anything_else_is_refused_with_the_sender_named(info: dict[str, object]) -> None:
    with pytest.raises(PayloadError, match=r"^site_a: sent "):
        open_reply(MASKS, Message(info), "site_a")  # type: ignore[arg-type]


def test_a_request_with_more_than_a_body_is_refused() -> None:
    message = request_message(Envelope(FactsRequest()))
    with pytest.raises(PayloadError, match=r"server: sent a message of body, cmd"):
        open_request(FACTS, replace(message, info={**message.info, "cmd": "ls"}))
    with pytest.raises(PayloadError, match=r"server: sent FactsRequest with the unknown key 'cmd'"):
        open_request(FACTS, Message({"body": {"cmd": "ls"}}))
