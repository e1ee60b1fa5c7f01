# SPDX-License-Identifier: Apache-2.0
"""Sites' progress over NVFlare: nobody waits for a report, and a bad one is refused and logged."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from nvflare.apis.fl_constant import ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable

from dsfedmed.flare.progress import DONE, TASK, TOPIC, TOTAL, is_progress, receive_progress, send_progress


class FakeEngine:
    """Hands what a site sends to the server's handler, as NVFlare does."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}
        self.codes: list[str] = []

    def register_aux_message_handler(self, topic: str, handler: Any) -> None:
        self.handlers[topic] = handler

    def send_aux_request(
        self, targets: list[str], topic: str, request: Shareable, timeout: float, fl_ctx: FLContext, optional: bool
    ) -> dict[str, Shareable]:
        assert (targets, timeout, optional) == (["server"], 0.0, True), "a report is never waited for"
        request.set_peer_props({ReservedKey.IDENTITY_NAME: "site_a"})
        self.codes.append(self.handlers[topic](topic=topic, request=request, fl_ctx=fl_ctx).get_return_code())
        return {}


def test_the_server_takes_a_report_under_the_name_that_nvflare_gives() -> None:
    engine, context, received = FakeEngine(), FLContext(), []
    context.get_engine = lambda: engine  # type: ignore[method-assign]
    receive_progress(engine, lambda *report: received.append(report))
    send_progress("dsf_branch", context, 3, 8)
    assert received == [("site_a", "dsf_branch", 3, 8)]
    assert engine.codes == ["OK"]


@pytest.mark.parametrize(
    ("task", "done", "total"),
    [
        ("dsf_train", 9, 8), ("dsf_train", -1, 8), ("dsf_train", 0, 0), ("dsf_train", 1.0, 2), ("dsf_train", True, 2),
        ("dsf_train", "3", 8), (None, None, None), (7, 1, 2),
        ("dsf_pixels", 1, 2),
    ],
)  # fmt: skip
def test_a_bad_report_is_refused_and_logged(task: Any, done: Any, total: Any, caplog: pytest.LogCaptureFixture) -> None:
    engine, received = FakeEngine(), []
    receive_progress(engine, lambda *report: received.append(report))
    report = Shareable()
    report[TASK], report[DONE], report[TOTAL] = task, done, total
    report.set_peer_props({ReservedKey.IDENTITY_NAME: "site_b"})
    caplog.set_level(logging.WARNING)
    reply = engine.handlers[TOPIC](topic=TOPIC, request=report, fl_ctx=FLContext())
    assert reply.get_return_code() == "BAD_REQUEST_DATA"
    assert received == []
    assert "site_b" in caplog.text
    assert not is_progress(task, done, total)
