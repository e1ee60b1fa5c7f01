# SPDX-License-Identifier: Apache-2.0
"""What a run shows while it goes: a bar where a terminal is there, plain lines where not, nothing, or everything."""

from __future__ import annotations

import argparse
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

Console = Literal["bar", "lines", "quiet", "all"]
"""How a run tells where it is; "all" adds NVFlare's own log."""
LOOK_S = 0.5
WIDTH = 24
NARROWEST = 40


def add_console_options(parser: argparse.ArgumentParser) -> None:
    """Declare -q and -v."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("-q", "--quiet", action="store_true", help="show the table at the end, and errors, only")
    group.add_argument("-v", "--verbose", action="store_true", help="show every line, NVFlare's own log included")


def console_of(args: argparse.Namespace, out: TextIO | None = None) -> Console:
    """Return how a run is shown on ``out``, the standard output by default."""
    if args.quiet:
        return "quiet"
    if args.verbose:
        return "all"
    return "bar" if (out or sys.stdout).isatty() else "lines"


def bar_line(status: Mapping[str, Any], columns: int) -> str:
    """Return one line of a terminal: stage k of n, its share, and the time that is left.

    Args:
        status: as in a run's ``status.json``.
        columns: of the terminal; the line is no longer.
    """
    stages = max(len(status.get("stages") or ()), 1)
    number, step = int(status.get("number") or 0), status.get("step")
    share = step[0] / step[1] if step and step[1] else 0.0
    done = round(WIDTH * min((max(number - 1, 0) + share) / stages, 1.0))
    parts = [f"[{'#' * done}{'.' * (WIDTH - done)}] {number}/{stages} {status.get('stage') or 'starting'}"]
    if step:
        parts.append(f"{step[0]}/{step[1]}")
    left = status.get("eta_s")
    if left:
        parts.append(f"{round(left) // 60}:{round(left) % 60:02d} left in this stage")
    elif status.get("last"):
        parts.append(str(status["last"]))
    return "  ".join(parts)[: max(columns, NARROWEST) - 1]


@contextmanager
def status_bar(run: Path, out: TextIO | None = None) -> Iterator[None]:
    """Draw a bar on the terminal's last line, from the run's ``status.json``, until the block ends.

    Args:
        run: the run folder; a status that is there already is that of an earlier start and is not shown.
        out: the terminal; the standard output by default.
    """
    terminal = out or sys.stdout
    ended = threading.Event()
    path = run / "status.json"
    before = _stamp(path)

    def draw() -> None:
        while not ended.wait(LOOK_S):
            if _stamp(path) != before:
                line = bar_line(_read(path), shutil.get_terminal_size().columns)
                terminal.write(f"\r\x1b[K{line}")
                terminal.flush()

    thread = threading.Thread(target=draw, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        terminal.write("\r\x1b[K")
        terminal.flush()


def _stamp(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def _read(path: Path) -> Mapping[str, Any]:
    from dsfedmed.store.files import read_json

    found: Mapping[str, Any] = read_json(path)
    return found
