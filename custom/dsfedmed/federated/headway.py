# SPDX-License-Identifier: Apache-2.0
"""How far a site is within a long task: two whole numbers, steps done and steps in all, and nothing else.

A hospital fits its branch for minutes on a small machine and for hours at the paper's scale; without a word from it the
server could not tell work from standstill. The worker says so to the site's NVFlare process, that one to the server as
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

TOPIC = "dsfedmed.headway"
DONE, TOTAL = "done", "total"
LOGGER = logging.getLogger("dsfedmed.headway")
Tell = Callable[[int, int], None]
"""Takes steps done and steps in all."""


def untold(done: int, total: int) -> None:
    """Nobody listens."""


class Teller:
    """Passes on how far a task is, but not more often than every so many seconds.

    Args:
        tell: takes what is passed on.
        every_s: least seconds from the start of a task, and from one word to the next; 0 for no word at all.
    """

    def __init__(self, tell: Tell, every_s: int) -> None:
        self.tell, self.every_s = tell, every_s
        self._last = time.monotonic()

    def begin(self) -> None:
        """Count from now: a task starts."""
        self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Pass it on if it is time."""
        now = time.monotonic()
        if self.every_s and now - self._last >= self.every_s:
            self._last = now
            self.tell(done, total)


def send(done: int, total: int, fl_ctx: FLContext) -> None:
    """Tell the server, without waiting for its answer."""
    word = Shareable()
    word[DONE], word[TOTAL] = done, total
    fl_ctx.get_engine().send_aux_request(["server"], TOPIC, word, 0.0, fl_ctx, optional=True)


def listen(engine: Any, take: Callable[[str, int, int], None]) -> None:
    """Hand every site's word to ``take`` (site, done, total) from now on; anything else is refused and logged."""

    def hear(topic: str, request: Shareable, fl_ctx: FLContext) -> Shareable:  # noqa: ARG001 (NVFlare's signature)
        site = str((request.get_peer_props() or {}).get(ReservedKey.IDENTITY_NAME, "unknown"))
        done, total = request.get(DONE), request.get(TOTAL)
        if not is_headway(done, total):
            LOGGER.warning("%s says that it is %r of %r steps far, which is refused", site, done, total)
            return make_reply(ReturnCode.BAD_REQUEST_DATA)
        take(site, done, total)
        return make_reply(ReturnCode.OK)

    engine.register_aux_message_handler(TOPIC, hear)


def is_headway(done: Any, total: Any) -> bool:
    """Tell whether these are steps done and steps in all."""
    return type(done) is int and type(total) is int and 0 <= done <= total and total > 0
