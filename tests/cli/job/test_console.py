# SPDX-License-Identifier: Apache-2.0
"""What a run shows: a bar on a terminal, lines elsewhere, nothing but the table, or everything."""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path

import pytest

from dsfedmed.cli.job.console import LOOK_S, add_console_options, bar_line, console_of, status_bar
from dsfedmed.store.files import write_json


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("words", "out", "shown"),
    [
        ([], Terminal(), "bar"),
        ([], io.StringIO(), "lines"),
        (["-q"], Terminal(), "quiet"),
        (["-q"], io.StringIO(), "quiet"),
        (["-v"], Terminal(), "all"),
    ],
)
def test_how_a_run_is_shown(words: list[str], out: io.StringIO, shown: str) -> None:
    parser = argparse.ArgumentParser()
    add_console_options(parser)
    assert console_of(parser.parse_args(words), out) == shown


def test_a_line_says_where_the_run_is() -> None:
    stages = ["check sites", "rounds", "release", "evaluate"]
    status = {"stages": stages, "number": 2, "stage": "rounds", "step": [5, 10], "eta_s": 83.2, "last": "5/10"}
    # One stage of four is done and half of the second: 1.5 / 4 of 24 places.
    assert bar_line(status, 120) == f"[{'#' * 9}{'.' * 15}] 2/4 rounds  5/10  1:23 left in this stage"
    assert bar_line({**status, "step": None, "eta_s": None}, 120).endswith("2/4 rounds  5/10")
    assert len(bar_line({**status, "last": "x" * 300, "eta_s": None}, 60)) == 59
    assert bar_line({}, 80) == f"[{'.' * 24}] 0/1 starting"


def test_a_bar_shows_this_run_alone_and_leaves_a_clean_line(tmp_path: Path) -> None:
    write_json(tmp_path / "status.json", {"stages": ["old"], "number": 1, "stage": "old"})
    terminal = Terminal()
    with status_bar(tmp_path, terminal):
        time.sleep(1.5 * LOOK_S)
        assert terminal.getvalue() == ""
        write_json(tmp_path / "status.json", {"stages": ["new"], "number": 1, "stage": "new"})
        deadline = time.monotonic() + 10
        while "1/1 new" not in terminal.getvalue() and time.monotonic() < deadline:
            time.sleep(0.05)
    assert "old" not in terminal.getvalue()
    assert "1/1 new" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")
