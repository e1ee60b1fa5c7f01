# SPDX-License-Identifier: Apache-2.0
"""The wire meter: each message between server and sites counted once, in the right direction."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey
from nvflare.fuel.f3.message import Message

from dsfedmed.exchange.ledger import ByteLedger
from dsfedmed.flare.wire_meter import attach


class FakeCell:
    """The three filter hooks of NVFlare's core cell."""

    def __init__(self) -> None:
        self.core_cell = self
        self.filters: dict[str, Any] = {}

    def get_fobs_context(self) -> dict[str, Any]:
        return {}

    def add_incoming_filter(self, channel: str, topic: str, cb: Any, *_: Any, **__: Any) -> None:
        self._add("incoming", channel, topic, cb)

    def add_outgoing_request_filter(self, channel: str, topic: str, cb: Any, *_: Any, **__: Any) -> None:
        self._add("request", channel, topic, cb)

    def add_outgoing_reply_filter(self, channel: str, topic: str, cb: Any, *_: Any, **__: Any) -> None:
        self._add("reply", channel, topic, cb)

    def _add(self, kind: str, channel: str, topic: str, cb: Any) -> None:
        assert (channel, topic) == ("*", "*")
        assert kind not in self.filters
        self.filters[kind] = cb


def _message(payload: object, origin: str = "server.job", target: str = "site_a.job") -> Message:
    return Message({MessageHeaderKey.ORIGIN: origin, MessageHeaderKey.DESTINATION: target}, payload)


def _metered() -> tuple[ByteLedger, dict[str, Any]]:
    ledger, cell = ByteLedger(), FakeCell()
    attach(ledger, SimpleNamespace(core_cell=cell))
    return ledger, cell.filters


def _counts(ledger: ByteLedger) -> list[tuple[str, str, int, int]]:
    return [(row["site"], row["direction"], row["bytes"], row["messages"]) for row in ledger.entries()]


def test_what_comes_from_a_site_goes_up() -> None:
    ledger, filters = _metered()
    filters["incoming"](_message(b"12345", "site_a.job", "server.job"))
    filters["incoming"](_message(b"123", "site_a", "server"))
    filters["incoming"](_message(None, "site_b.job", "server.job"))
    assert _counts(ledger) == [("site_a", "up", 8, 2), ("site_b", "up", 0, 1)]


@pytest.mark.parametrize("kind", ["request", "reply"])
def test_what_leaves_for_a_site_goes_down(kind: str) -> None:
    ledger, filters = _metered()
    filters[kind](_message(b"1234"))
    assert _counts(ledger) == [("site_a", "down", 4, 1)]


def test_an_object_counts_as_it_is_serialised() -> None:
    """NVFlare serialises into a list of buffers: their bytes count, not their number."""
    ledger, filters = _metered()
    message = _message({"weights": "x" * 1000})
    filters["request"](message)
    assert len(b"".join(message.payload)) > 1000
    assert _counts(ledger) == [("site_a", "down", len(b"".join(message.payload)), 1)]


def test_buffers_that_come_in_count_by_their_bytes() -> None:
    ledger, filters = _metered()
    filters["incoming"](_message([b"123", bytearray(4)], "site_a", "server"))
    assert _counts(ledger) == [("site_a", "up", 7, 1)]


def test_the_simulator_s_passing_messages_go_down() -> None:
    """There the job's own messages to the sites come in at the server's cell."""
    ledger, filters = _metered()
    filters["incoming"](_message(b"123456", "server.job", "site_b"))
    assert _counts(ledger) == [("site_b", "down", 6, 1)]


def test_the_server_s_talk_with_itself_does_not_count() -> None:
    ledger, filters = _metered()
    for kind in ("incoming", "request", "reply"):
        filters[kind](_message(b"123", "server.job", "server"))
        filters[kind](Message({}, b"123"))
    assert _counts(ledger) == []


def test_bytes_fall_under_the_stage_and_purpose_of_the_moment() -> None:
    ledger, filters = _metered()
    ledger.stage, ledger.purpose = "compare fedavg", "comparison"
    filters["request"](_message(b"1"))
    assert (ledger.entries()[0]["stage"], ledger.entries()[0]["purpose"]) == ("compare fedavg", "comparison")
