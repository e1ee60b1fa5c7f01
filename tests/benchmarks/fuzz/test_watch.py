# SPDX-License-Identifier: Apache-2.0
"""A child that hangs or dies is noticed, and the next number gets another one."""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from dsfedmed_benchmarks.fuzz import watch
from dsfedmed_benchmarks.fuzz.trial import CRASH, HANG, READ, Outcome
from dsfedmed_benchmarks.fuzz.worker import Report


def work(connection: Connection, seed: int, folder: str) -> None:
    """Die at 1, hang at 2, and read everything else."""
    (Path(folder) / "stderr.txt").write_text("first\nlast words\n")
    while (number := connection.recv()) is not None:
        if number == 1:
            os.abort()
        if number == 2:
            time.sleep(600)
        connection.send(Report(Outcome(READ), float(number), 0.0))


def test_a_crash_and_a_hang_cost_one_number_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "work", work)
    monkeypatch.setattr(watch, "SECONDS", 0.5)
    found = dict(watch.watched([1, 0, 2], seed=0))
    assert {number: report.outcome.kind for number, report in found.items()} == {1: CRASH, 0: READ, 2: HANG}
    assert found[1].outcome.text == "the process ended with -6: last words"
