# SPDX-License-Identifier: Apache-2.0
"""How far a site is within a long task: the task's name, steps done and steps in all, and nothing else.

A hospital fits its branch for minutes on a small machine and for hours at the paper's scale; without a word from it the
server could not tell work from standstill. The worker reports to the site's NVFlare process, that one to the server by
an auxiliary message, which no one waits for. A site sets how often (``progress_s`` in ``dsfedmed.yaml``), or never.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from nvflare.apis.fl_constant import ReservedKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply

TOPIC = "dsfedmed.progress"
TASK, DONE, TOTAL = "task", "done", "total"
LOGGER = logging.getLogger("dsfedmed.site_progress")
OnProgress = Callable[[int, int], None]
"""Called with steps done and steps in all."""


def ignore_progress(done: int, total: int) -> None:
    """Do nothing: nobody wants to know."""


class ThrottledProgress:
    """Passes progress on, but not more often than every so many seconds.

    Args:
        on_progress: called with what is passed on.
        every_s: least seconds from the start of a task, and from one report to the next; 0 for no report at all.
    """

    def __init__(self, on_progress: OnProgress, every_s: int) -> None:
        self.on_progress, self.every_s = on_progress, every_s
        self.begin()

    def begin(self) -> None:
        """Count the seconds from now: a task starts."""
        self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Pass it on if it is time."""
        now = time.monotonic()
        if self.every_s and now - self._last >= self.every_s:
            self._last = now
            self.on_progress(done, total)


def send_progress(task: str, fl_ctx: FLContext, done: int, total: int) -> None:
    """Report to the server, without waiting for its answer."""
    report = Shareable()
    report[TASK], report[DONE], report[TOTAL] = task, done, total
    fl_ctx.get_engine().send_aux_request(["server"], TOPIC, report, 0.0, fl_ctx, optional=True)


def receive_progress(engine: Any, receive: Callable[[str, str, int, int], None]) -> None:
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


def is_progress(task: Any, done: Any, total: Any) -> bool:
    """Tell whether these are a task's name, steps done and steps in all."""
    return isinstance(task, str) and type(done) is int and type(total) is int and 0 <= done <= total and total > 0
