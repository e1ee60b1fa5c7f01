# SPDX-License-Identifier: Apache-2.0
"""The server rings when there is a task, so that a site need not knock every half second to find out.

In NVFlare a site pulls its tasks, and after "nothing yet" it sleeps (0.5 s in the simulator, whatever the settings
say). A round of the small federation takes two seconds, so that sleep is a quarter of it. Here a site waits, before it
pulls, for a ring from the server. A ring carries nothing and decides nothing: the task is still pulled, and a site that
hears no ring pulls anyway after ``PATIENCE_S``.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply

TOPIC = "dsfedmed.bell"
LAST = "dsfedmed.last"
PATIENCE_S = 10.0
LOOK_S = 0.2


class Bell(FLComponent):  # type: ignore[misc]
    """The site's bell: waits for a ring before each pull, until the server has rung for the last time."""

    def __init__(self) -> None:
        super().__init__()
        self._rung = threading.Event()
        self._rung.set()  # the first pull is not waited for
        self._is_waited_for = True

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Listen from the start of the run, and wait before each pull."""
        if event_type == EventType.START_RUN:
            fl_ctx.get_engine().register_aux_message_handler(TOPIC, self.hear)
        elif event_type == EventType.BEFORE_PULL_TASK and self._is_waited_for:
            self.wait(fl_ctx)

    def hear(self, topic: str, request: Shareable, fl_ctx: FLContext) -> Shareable:  # noqa: ARG002 (NVFlare's signature)
        """Take a ring."""
        if request.get(LAST):
            self._is_waited_for = False
        self._rung.set()
        return make_reply(ReturnCode.OK)

    def wait(self, fl_ctx: FLContext) -> None:
        """Return at the next ring, at the end of patience, or when the run is aborted."""
        for _ in range(round(PATIENCE_S / LOOK_S)):
            signal = fl_ctx.get_run_abort_signal()
            if self._rung.wait(LOOK_S) or (signal and signal.triggered):
                break
        self._rung.clear()


def ring(sites: Sequence[str], fl_ctx: FLContext, last: bool = False) -> None:
    """Tell sites that there is something to pull; with ``last``, that they need not wait for rings any more."""
    engine = fl_ctx.get_engine()
    request = Shareable()
    request[LAST] = last
    engine.send_aux_request(list(sites), TOPIC, request, 0.0, fl_ctx, optional=True)
