# SPDX-License-Identifier: Apache-2.0
"""How far a site is within a long task: the task's name, steps done and steps in all, and nothing else.

A hospital fits its branch for minutes on a small machine and for hours at the paper's scale; without a report the
server could not tell work from standstill. A site sets how often (``progress_s`` in ``dsfedmed.yaml``), or never.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from dsfedmed.store.json_types import Json

PROGRESS = "progress"
"""Key of the lines that a worker may write before its answer: ``[steps done, steps in all]``."""
ProgressCallback = Callable[[int, int], None]
"""Called with steps done and steps in all."""


def no_progress(done: int, total: int) -> None:
    """Do nothing: nobody wants to know."""


class ThrottledProgress:
    """Passes progress on, but not more often than every so many seconds.

    Args:
        on_progress: called with what is passed on.
        every_s: least seconds from the start of a task, and from one report to the next; 0 for no report at all.
    """

    def __init__(self, on_progress: ProgressCallback, every_s: int) -> None:
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


def progress_steps(line: dict[str, Json]) -> tuple[int, int] | None:
    """Return steps done and steps in all of a worker's line; None where it is the answer."""
    found = line.get(PROGRESS)
    if not isinstance(found, list) or len(found) != 2:
        return None
    done, total = found
    return (done, total) if type(done) is int and type(total) is int else None
