# SPDX-License-Identifier: Apache-2.0
"""How far a site is within a long task, over NVFlare: an auxiliary message that nobody waits for."""

from __future__ import annotations

import logging
from typing import Any

from nvflare.apis.fl_constant import ReservedKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply

from dsfedmed.federated.wire.tasks import TASKS
from dsfedmed.federated.wire.transport import OnSiteProgress

TOPIC = "dsfedmed.progress"
TASK, DONE, TOTAL = "task", "done", "total"
LOGGER = logging.getLogger("dsfedmed.site_progress")


def send_progress(task: str, fl_ctx: FLContext, done: int, total: int) -> None:
    """Report to the server, without waiting for its answer."""
    report = Shareable()
    report[TASK], report[DONE], report[TOTAL] = task, done, total
    fl_ctx.get_engine().send_aux_request(["server"], TOPIC, report, 0.0, fl_ctx, optional=True)


def receive_progress(engine: Any, receive: OnSiteProgress) -> None:
    """Hand every site's report to ``receive`` (site, task, done, total) ; a bad one is refused and logged."""

    def handle(topic: str, request: Shareable, fl_ctx: FLContext) -> Shareable:  # noqa: ARG001 (NVFlare's signature)
        site = str((request.get_peer_props() or {}).get(ReservedKey.IDENTITY_NAME, "unknown"))
        task, done, total = request.get(TASK), request.get(DONE), request.get(TOTAL)
        if not is_progress(task, done, total):
            LOGGER.warning("%s reports %r of %r steps of %r, which is refused", site, done, total, task)
            return make_reply(ReturnCode.BAD_REQUEST_DATA)
        receive(site, task, done, total)
        return make_reply(ReturnCode.OK)

    engine.register_aux_message_handler(TOPIC, handle)


def is_progress(task: object, done: object, total: object) -> bool:
    """Tell whether these are a task's name, steps done and steps in all."""
    if not isinstance(task, str) or task not in TASKS:
        return False
    return type(done) is int and type(total) is int and 0 <= done <= total and total > 0
