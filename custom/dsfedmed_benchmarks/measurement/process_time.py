# SPDX-License-Identifier: Apache-2.0
"""CPU time of a process and all its descendants, the ones that have ended included, from Linux's /proc."""

from __future__ import annotations

import os
import threading
from pathlib import Path

CHECK_INTERVAL_S = 0.5


class CpuClock:
    """Adds up the CPU seconds of a process tree while it runs.

    On a busy machine wall times waver; this says how much work was done. A process that starts and ends between two
    looks is missed, which is nothing of weight here.

    Args:
        root: process id at the top.
    """

    def __init__(self, root: int) -> None:
        self.root = root
        self._seconds: dict[int, float] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """End the clock and return the CPU seconds of all processes, user and system."""
        self._end.set()
        self._thread.join()
        return sum(self._seconds.values())

    def _watch(self) -> None:
        while True:
            self.look()
            if self._end.wait(CHECK_INTERVAL_S):
                return

    def look(self) -> None:
        """Read the times of all processes that descend from the root, or once did."""
        parents, seconds = _processes()
        family = {self.root, *self._seconds}
        grown = True
        while grown:
            children = {pid for pid, parent in parents.items() if parent in family} - family
            family |= children
            grown = bool(children)
        self._seconds.update({pid: seconds[pid] for pid in family if pid in seconds})


def _processes() -> tuple[dict[int, int], dict[int, float]]:
    """Return the parent and the CPU seconds of every process."""
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    tick = os.sysconf("SC_CLK_TCK")
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        pid = int(path.parent.name)
        parents[pid], seconds[pid] = int(fields[1]), (int(fields[11]) + int(fields[12])) / tick
    return parents, seconds
