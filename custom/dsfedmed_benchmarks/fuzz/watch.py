# SPDX-License-Identifier: Apache-2.0
"""The parent: gives numbers to a child, waits for each so long, and starts another child after a hang or a crash."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from dsfedmed_benchmarks.fuzz.trial import HANG, Outcome
from dsfedmed_benchmarks.fuzz.worker import Report, ended, work

SECONDS = 10.0
"""How long reading one file may take."""
START_SECONDS = 120.0
"""How long a child may take until its first report: it imports the readers and makes the seeds."""


def watched(numbers: Sequence[int], seed: int) -> Iterator[tuple[int, Report]]:
    """Yield each number with what reading its file came to."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder, child = Path(name), None
        try:
            for number in numbers:
                child = child or _Child(seed, folder)
                report = child.report(number)
                yield number, report
                if not child.lives():
                    child.stop()
                    child = None
        finally:
            if child is not None:
                child.stop()


class _Child:
    """One child process and the line to it."""

    def __init__(self, seed: int, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._folder, self._patience = folder, START_SECONDS
        self._line: Connection
        self._line, other = context.Pipe()
        self._process: BaseProcess = context.Process(target=work, args=(other, seed, str(folder)), daemon=True)
        self._process.start()
        other.close()

    def report(self, number: int) -> Report:
        """Return the report of one number; of a child that says nothing for so long, or dies, what became of it."""
        patience, self._patience = self._patience, SECONDS
        try:
            self._line.send(number)
            if not self._line.poll(patience):
                self._process.kill()
                self._process.join()
                return Report(Outcome(HANG, f"nothing after {patience:.0f} s"), 0.0, patience)
            report: Report = self._line.recv()
            return report
        except (EOFError, OSError):
            self._process.join(START_SECONDS)
            return Report(ended(self._process.exitcode, self._folder), 0.0, 0.0)

    def lives(self) -> bool:
        """Whether the child can take another number."""
        self._process.join(0)
        return self._process.exitcode is None

    def stop(self) -> None:
        """End the child: by its own loop, or by force."""
        try:
            self._line.send(None)
            self._process.join(SECONDS)
        except OSError:
            pass
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        self._line.close()
