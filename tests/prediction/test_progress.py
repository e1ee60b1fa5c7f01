# SPDX-License-Identifier: Apache-2.0
"""A bar on a terminal; elsewhere lines, and not many."""

from __future__ import annotations

import io

import pytest

from dsfedmed.prediction import progress
from dsfedmed.prediction.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line_that_is_taken_away() -> None:
    stream = Terminal()
    shown = Progress(4, stream)
    shown.show(2, "a\x1b[31m.png")
    assert stream.getvalue() == f"\r\x1b[K[{'#' * 15}{'.' * 15}] 2/4  a?[31m.png"
    shown.end()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_a_log_has_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 3.0, 11.0, 12.0, 22.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    shown = Progress(9, stream)
    for done in range(4):
        shown.show(done, f"{done}.png")
    shown.end()
    assert stream.getvalue() == "1 of 9 images done; next 1.png\n3 of 9 images done; next 3.png\n"
