# SPDX-License-Identifier: Apache-2.0
"""Raw and typed messages: a body, a header on the way back, or a reason; and nothing besides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from dsfedmed.errors import DataError, PayloadError, StoreError
from dsfedmed.federated.wire.codec import to_json
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
from dsfedmed.federated.wire.requests.generator import BaseReply, MasksRequest
from dsfedmed.federated.wire.requests.training import TrainReply
from dsfedmed.federated.wire.tasks import BASE, MASKS, TRAIN
from tests.federated.tiny import over_the_wire, tiny_plan, tiny_settings

PLAN = tiny_plan(tiny_settings())
TENSORS = {"w": torch.arange(3.0), "n": torch.tensor([1, 2], dtype=torch.uint8)}
HEADER = ReplyHeader(
    1.5,
    {"fedavg/loss": 0.5},
    3,
    UpdateHeader("fedavg", 3, "int8", "a" * 64),
    PrivacyStatement("gaussian", 1.0, 0.5, None, 1e-5, 2),
)
REPLY = Envelope(TrainReply(3, 0.5, 0.25, 7), TENSORS, True, HEADER)


def test_a_request_is_its_body_and_tensors() -> None:
    sent = Envelope(MasksRequest(PLAN.common, 4), TENSORS)
    message = request_message(sent)
    assert set(message.info) == {"body"}
    got = open_request(MASKS, over_the_wire(message))
    assert (got.body.count, to_json(got.body)) == (4, message.info["body"])
    assert all(torch.equal(got.tensors[name], tensor) for name, tensor in TENSORS.items())
    assert got.header == ReplyHeader()


def test_a_reply_has_a_header_as_well() -> None:
    message = reply_message(REPLY)
    assert set(message.info) == {"body", "header"}
    got = open_reply(TRAIN, over_the_wire(message), "site_a")
    assert (got.body, got.header, got.is_difference) == (REPLY.body, HEADER, True)
    assert open_header(message, "site_a") == HEADER


def test_a_header_is_replaced_and_the_rest_stays() -> None:
    message = reply_message(REPLY)
    other = with_header(message, ReplyHeader(seconds=9.0))
    assert open_header(other, "site_a") == ReplyHeader(seconds=9.0)
    assert (other.info["body"], other.tensors) == (message.info["body"], message.tensors)


def test_why_a_task_was_not_done_is_raised_with_the_site() -> None:
    message = error_message(DataError("/data/smith.png", "the disk is full", "Free space"), "site_a")
    assert is_error(message)
    assert not is_error(reply_message(REPLY))
    with pytest.raises(PayloadError) as caught:
        open_reply(TRAIN, over_the_wire(message), "site_b")
    assert (caught.value.where, caught.value.reason, caught.value.fix) == ("site_b", "the disk is full", "Free space")
    assert "smith" not in str(message.info), "where it happened can name a patient"
    assert error_message(SiteError("site_a", "r", "f"), "site_a").info == {
        "error": {"where": "site_a", "reason": "r", "fix": "f"}
    }


def test_folders_of_the_site_s_machine_stay_there() -> None:
    """As where its disk is full: the system names the file."""
    said = "cannot be written ([Errno 28] No space left on device: '/srv/st_anna/smith/dsf_train.json')"
    message = error_message(StoreError("x", said, "Free space below /srv/st_anna/output"), "site_a")
    assert message.info["error"] == {
        "where": "site_a",
        "reason": "cannot be written ([Errno 28] No space left on device: 'dsf_train.json')",
        "fix": "Free space below output",
    }


def test_a_reason_of_any_length_can_be_sent() -> None:
    message = error_message(DataError("x", "r" * 10**6, "f" * 10**6), "s" * 10**6)
    with pytest.raises(PayloadError) as caught:
        open_reply(TRAIN, message, "site_a")
    assert (len(caught.value.reason), len(caught.value.fix)) == (2000, 2000)


BODY: Any = request_message(Envelope(MasksRequest(PLAN.common, 4))).info["body"]


@pytest.mark.parametrize(
    ("info", "found"),
    [
        ({}, "nothing"),
        ({"body": BODY, "header": {}}, "body, header"),
        ({"body": BODY, "weights": 1}, "body, weights"),
        ({"info": BODY}, "info"),
        ({"error": {"where": "x", "reason": "r", "fix": "f"}}, "error"),
    ],
)
def test_a_request_of_anything_else_is_refused(info: dict[str, Any], found: str) -> None:
    with pytest.raises(PayloadError, match=f"server: sent a message of {found}. Use the same version"):
        open_request(MASKS, Message(info))


def test_a_request_of_another_task_is_refused() -> None:
    with pytest.raises(PayloadError, match="server: sent BaseRequest with the unknown key 'count'"):
        open_request(BASE, Message({"body": BODY}))


GOOD: Any = reply_message(Envelope(BaseReply(1, 0.5))).info


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ({}, "sent BaseReply, which is None and no mapping"),
        ({"body": GOOD["body"]}, "sent a message of body"),
        ({**GOOD, "more": 1}, "sent a message of body, header, more"),
        ({**GOOD, "error": {"where": "x", "reason": "r", "fix": "f"}}, "sent a message of body, error, header"),
        ({"error": "down"}, "sent SiteError, which is 'down'"),
        ({"error": {"where": "x", "reason": "r" * 5000, "fix": "f"}}, "sent SiteError.reason: 5000 entries are more"),
        ({**GOOD, "header": {"seconds": -1}}, "sent ReplyHeader.seconds: -1.0 is not between"),
        ({**GOOD, "header": {"scalars": {"a b": 1.0}}}, "sent ReplyHeader.scalars's key: 'a b' is not of the form"),
        ({**GOOD, "header": {"update": {"training": "../x", "round": 1, "precision": "fp16"}}},
         "sent ReplyHeader.update.training: '../x'"),
        ({**GOOD, "header": {"privacy": {"mechanism": "none"}}}, "sent ReplyHeader.privacy.mechanism = 'none'"),
        ({**GOOD, "body": {**GOOD["body"], "path": "/x"}}, "sent BaseReply with the unknown key 'path'"),
    ],
)  # fmt: skip
def test_a_reply_that_is_none_is_refused_with_its_site(info: dict[str, Any], reason: str) -> None:
    with pytest.raises(PayloadError) as caught:
        open_reply(BASE, Message(info), "site_a")
    assert caught.value.where == "site_a"
    assert caught.value.reason.startswith(reason)


def test_bytes_are_those_of_the_tensors_and_can_be_dropped() -> None:
    assert REPLY.byte_count == 3 * 4 + 2
    bare = REPLY.without_tensors()
    assert bare == replace(REPLY, tensors={})
    assert bare.byte_count == 0
