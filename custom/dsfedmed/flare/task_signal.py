# SPDX-License-Identifier: Apache-2.0
"""The server notifies sites when there is a task, instead of each site polling every half second.

In NVFlare a site pulls its tasks, and after "nothing yet" it sleeps (0.5 s in the simulator, whatever the settings
say). A round of the small federation takes two seconds, so that sleep is a quarter of it. Here a site waits, before it
pulls, for a signal from the server. The signal carries nothing and decides nothing: the task is still pulled, and a
site that receives no signal pulls anyway after ``FALLBACK_POLL_S``.

Sites are notified a few at a time: NVFlare serialises a task for every site that pulls it, so with all at once the
server's memory would grow with the number of sites. A site reports when it has pulled, and the next one is notified.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply

TOPIC = "dsfedmed.task_signal"
PULLED = "dsfedmed.pulled"
LAST = "dsfedmed.last"
AT_ONCE = 4
FALLBACK_POLL_S = 10.0
CHECK_INTERVAL_S = 0.2


class TaskSignal(FLComponent):  # type: ignore[misc]
    """The site's side: waits for a signal before each pull, until the server has sent the last one."""

    def __init__(self) -> None:
        super().__init__()
        self._signal = threading.Event()
        self._signal.set()  # the first pull is not waited for
        self._waits = True
        self._was_notified = False

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Listen from the start of the run, and wait before each pull."""
        if event_type == EventType.START_RUN:
            fl_ctx.get_engine().register_aux_message_handler(TOPIC, self.receive)
        elif event_type == EventType.BEFORE_PULL_TASK and self._waits:
            self.wait(fl_ctx)
        elif event_type == EventType.AFTER_PULL_TASK and self._was_notified:
            self._was_notified = False
            fl_ctx.get_engine().send_aux_request(["server"], PULLED, Shareable(), 0.0, fl_ctx, optional=True)

    def receive(self, topic: str, request: Shareable, fl_ctx: FLContext) -> Shareable:  # noqa: ARG002 (NVFlare's signature)
        """Take a signal."""
        if request.get(LAST):
            self._waits = False
        self._was_notified = True
        self._signal.set()
        return make_reply(ReturnCode.OK)

    def wait(self, fl_ctx: FLContext) -> None:
        """Return at the next signal, after ``FALLBACK_POLL_S``, or when the run is aborted."""
        for _ in range(round(FALLBACK_POLL_S / CHECK_INTERVAL_S)):
            signal = fl_ctx.get_run_abort_signal()
            if self._signal.wait(CHECK_INTERVAL_S) or (signal and signal.triggered):
                break
        self._signal.clear()


class TaskNotifier:
    """The server's side: notifies the sites of a task, a few at a time.

    Args:
        at_once: sites that may pull at the same time.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self.at_once = at_once
        self._waiting: list[str] = []
        self._lock = threading.Lock()

    def listen(self, engine: Any) -> None:
        """Learn from now on who has pulled."""
        engine.register_aux_message_handler(PULLED, self.pulled)

    def notify(self, sites: Sequence[str], fl_ctx: FLContext) -> None:
        """Tell sites that there is something to pull; those of an earlier task that still wait are dropped."""
        with self._lock:
            first, self._waiting = list(sites[: self.at_once]), list(sites[self.at_once :])
        _notify(first, fl_ctx)

    def pulled(self, topic: str, request: Shareable, fl_ctx: FLContext) -> Shareable:  # noqa: ARG002 (NVFlare's)
        """Note that a site has pulled, and notify the next."""
        with self._lock:
            following, self._waiting = self._waiting[:1], self._waiting[1:]
        if following:
            _notify(following, fl_ctx)
        return make_reply(ReturnCode.OK)

    def notify_finished(self, sites: Sequence[str], fl_ctx: FLContext) -> None:
        """Tell sites that they need not wait for signals any more."""
        _notify(sites, fl_ctx, last=True)


def _notify(sites: Sequence[str], fl_ctx: FLContext, last: bool = False) -> None:
    request = Shareable()
    request[LAST] = last
    fl_ctx.get_engine().send_aux_request(list(sites), TOPIC, request, 0.0, fl_ctx, optional=True)
