# SPDX-License-Identifier: Apache-2.0
"""A site waits for a signal before it pulls, and never longer than until its fallback poll."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from dsfedmed.flare import task_signal as module
from dsfedmed.flare.task_signal import LAST, PULLED, TOPIC, TaskNotifier, TaskSignal


class FakeEngine:
    """Keeps what was registered and what was sent."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}
        self.sent: list[tuple[list[str], str, bool | None]] = []

    def register_aux_message_handler(self, topic: str, handler: Any) -> None:
        self.handlers[topic] = handler

    def send_aux_request(
        self, sites: list[str], topic: str, request: Shareable, timeout: float, fl_ctx: FLContext, optional: bool
    ) -> dict[str, Shareable]:
        assert timeout == 0.0, "a signal is never waited for"
        self.sent.append((sites, topic, request.get(LAST)))
        return {}


def context(engine: FakeEngine) -> FLContext:
    ctx = FLContext()
    ctx.set_prop(ReservedKey.ENGINE, engine, private=True, sticky=False)
    ctx.set_prop(FLContextKey.RUN_ABORT_SIGNAL, Signal(), private=True, sticky=False)
    ctx.get_engine = lambda: engine  # type: ignore[method-assign]
    return ctx


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> tuple[TaskSignal, FLContext, FakeEngine]:
    monkeypatch.setattr(module, "FALLBACK_POLL_S", 0.6)
    engine = FakeEngine()
    ctx, signal = context(engine), TaskSignal()
    signal.handle_event(EventType.START_RUN, ctx)
    return signal, ctx, engine


def pull(signal: TaskSignal, ctx: FLContext) -> float:
    """Return the seconds that the signal held up a pull."""
    before = time.monotonic()
    signal.handle_event(EventType.BEFORE_PULL_TASK, ctx)
    return time.monotonic() - before


def receive(engine: FakeEngine, ctx: FLContext, last: bool = False) -> None:
    request = Shareable()
    request[LAST] = last
    assert engine.handlers[TOPIC](topic=TOPIC, request=request, fl_ctx=ctx).get_return_code() == "OK"


def test_the_first_pull_is_at_once_and_the_next_waits_until_the_fallback_poll(started):
    signal, ctx, _ = started
    assert pull(signal, ctx) < 0.1
    assert pull(signal, ctx) == pytest.approx(0.6, abs=0.25)


def test_a_signal_ends_the_wait_and_is_used_up(started):
    signal, ctx, engine = started
    pull(signal, ctx)
    threading.Timer(0.1, receive, (engine, ctx)).start()
    assert 0.05 < pull(signal, ctx) < 0.5
    assert pull(signal, ctx) > 0.5


def test_a_signal_before_the_wait_is_not_lost(started):
    signal, ctx, engine = started
    pull(signal, ctx)
    receive(engine, ctx)
    assert pull(signal, ctx) < 0.1


def test_after_the_last_signal_nothing_is_waited_for(started):
    signal, ctx, engine = started
    receive(engine, ctx, last=True)
    assert max(pull(signal, ctx) for _ in range(3)) < 0.1


def test_an_aborted_run_is_not_held_up(started):
    signal, ctx, _ = started
    pull(signal, ctx)
    ctx.get_run_abort_signal().trigger(True)
    assert pull(signal, ctx) < 0.4


def test_a_site_says_once_that_it_has_pulled(started):
    signal, ctx, engine = started
    signal.handle_event(EventType.AFTER_PULL_TASK, ctx)
    assert engine.sent == [], "it was not notified"
    receive(engine, ctx)
    for _ in range(2):
        signal.handle_event(EventType.AFTER_PULL_TASK, ctx)
    assert engine.sent == [(["server"], PULLED, None)]


def test_the_server_notifies_a_few_and_then_one_for_each_that_has_pulled():
    engine = FakeEngine()
    ctx, notifier = context(engine), TaskNotifier(at_once=2)
    notifier.listen(engine)
    notifier.notify(["a", "b", "c", "d"], ctx)
    for _ in range(4):
        engine.handlers[PULLED](topic=PULLED, request=Shareable(), fl_ctx=ctx)
    assert engine.sent == [(["a", "b"], TOPIC, False), (["c"], TOPIC, False), (["d"], TOPIC, False)]


def test_those_of_an_earlier_task_are_forgotten_and_the_last_signal_goes_to_all():
    engine = FakeEngine()
    ctx, notifier = context(engine), TaskNotifier(at_once=1)
    notifier.listen(engine)
    notifier.notify(["a", "b"], ctx)
    notifier.notify(["c"], ctx)
    notifier.pulled(PULLED, Shareable(), ctx)
    notifier.notify_finished(["a", "b", "c"], ctx)
    assert engine.sent == [(["a"], TOPIC, False), (["c"], TOPIC, False), (["a", "b", "c"], TOPIC, True)]
