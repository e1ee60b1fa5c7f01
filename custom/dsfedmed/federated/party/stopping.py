# SPDX-License-Identifier: Apache-2.0
"""A run that is stopped, by Ctrl-C or by a system's request to end, releases what it holds and says one line."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """A signal came.

    Args:
        number: of the signal.
        said: what is told to the user.
    """

    def __init__(self, number: int, said: str) -> None:
        super().__init__(said)
        self.number = number


_came: list[Stopped] = []


@contextmanager
def stoppable(said: str) -> Iterator[None]:
    """Let Ctrl-C and a request to end stop the block in order, by a ``Stopped`` that every ``finally`` sees.

    A second signal ends the process at once. A signal that is ignored (a job in the background of a script has Ctrl-C
    so) stays ignored. Only the main thread may heed signals; in another one nothing is changed.

    Args:
        said: what is told to the user.

    Raises:
        Stopped: a signal came.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    main = threading.current_thread() is threading.main_thread()
    heeded = [number for number, handler in before.items() if main and handler is not signal.SIG_IGN]

    def stop(number: int, _: FrameType | None) -> None:
        for each in heeded:
            signal.signal(each, signal.SIG_DFL)
        _came.append(Stopped(number, said))
        raise _came[0]

    _came.clear()
    try:
        for number in heeded:
            signal.signal(number, stop)
        yield
        raise_if_stopped()  # what ran may have taken the interrupt for its own
    finally:
        for number in heeded:
            signal.signal(number, before[number])


def raise_if_stopped() -> None:
    """Raise the ``Stopped`` of a signal that came and that something, such as NVFlare's simulator, has taken."""
    if _came:
        raise _came[0]
