# SPDX-License-Identifier: Apache-2.0
"""Processes that end with the one that started them, however that ends.

A command that is killed (``kill -9``, out of memory) cannot end what it started, and NVFlare's simulator sits in a
session of its own. So every process of a run watches its launcher. Linux's own signal for it (``PR_SET_PDEATHSIG``)
comes at the end of the thread that started the process, which NVFlare's threads do long before the run's end.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

LAUNCHER = "DSFEDMED_LAUNCHER"
"""Environment variable by which a process learns who started it: number and time of start, which no later process of
that number shares."""
POLL_SECONDS = 0.5
_watched: set[str] = set()


def own_mark() -> str:
    """Return what tells this process from every other on this machine."""
    return _mark(psutil.Process())


@contextmanager
def as_launcher() -> Iterator[None]:
    """Let the processes started within the block know this one as their launcher."""
    before = os.environ.get(LAUNCHER)
    os.environ[LAUNCHER] = own_mark()
    try:
        yield
    finally:
        os.environ.pop(LAUNCHER)
        if before is not None:
            os.environ[LAUNCHER] = before


def end_with_launcher() -> None:
    """End this process at once when its launcher is gone, or a process of which it is a fork; else do nothing.

    A process that has neither, such as a hospital's own client, is not watched.
    """
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        _end_with(mark_of(parent.pid))
    said = os.environ.get(LAUNCHER, "")
    if said and said != own_mark():
        _end_with(said)


def mark_of(pid: int) -> str:
    """Return the mark of a process; of one that is gone, a mark that none has."""
    try:
        return _mark(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return f"{pid}:gone"


def is_there(mark: str) -> bool:
    """Tell whether the process with this mark still runs; one that has ended and was not yet waited for does not."""
    pid = mark.partition(":")[0]
    if not pid.isdigit():
        return False
    try:
        process = psutil.Process(int(pid))
        return _mark(process) == mark and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_end(mark: str) -> None:
    """Return when the process with this mark is gone: at once on Linux, elsewhere within `POLL_SECONDS`."""
    try:
        descriptor = os.pidfd_open(int(mark.partition(":")[0]))
    except (AttributeError, OSError, ValueError):  # not Linux, an old one, not allowed; or it is gone
        while is_there(mark):
            time.sleep(POLL_SECONDS)
        return
    try:
        if is_there(mark):  # not another process of that number
            events = select.poll()
            events.register(descriptor, select.POLLIN)
            events.poll()
    finally:
        os.close(descriptor)


def _mark(process: psutil.Process) -> str:
    """Return number and time of start: on Linux since boot, as a clock that is set moves `create_time` with it."""
    try:
        status = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8", errors="replace")
        started = status.rpartition(")")[2].split()[19]  # proc_pid_stat(5): the 22nd, behind a name of any letters
    except (OSError, IndexError):
        started = f"{process.create_time():.2f}"
    return f"{process.pid}:{started}"


def _end_with(mark: str) -> None:
    if mark in _watched:
        return
    _watched.add(mark)

    def watch() -> None:
        wait_for_end(mark)
        os.kill(os.getpid(), signal.SIGKILL)  # nothing waits for it, and what it writes is whole or not there

    threading.Thread(target=watch, name="dsfedmed-launcher", daemon=True).start()
