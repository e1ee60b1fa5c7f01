# SPDX-License-Identifier: Apache-2.0
"""The demo: what it runs, in which order, what it leaves out the second time, and that it takes its runs with it."""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from dsfedmed.cli import main as entry
from dsfedmed.cli.job import demo, poc_steps
from dsfedmed.cli.main import COMMANDS, main
from dsfedmed.cli.poc import STEPS
from dsfedmed.federated.party import launcher
from dsfedmed.federated.party.launcher import LAUNCHER, own_mark

Ran = list[tuple[list[str], str]]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    """The commands with the launcher that they are told of; they make what they would make, but are not run."""
    found: Ran = []

    def run(words: Sequence[str], check: bool) -> subprocess.CompletedProcess[str]:
        assert not check
        command = list(words[3:])
        found.append((command, os.environ[LAUNCHER]))
        made = {"demo-sites": "sites/site_d/datalist.json", "pretrain-teacher": "teacher.safetensors"}.get(command[0])
        out = Path(command[command.index("--out") + 1]) if "--out" in command else Path(command[1]).parent
        file = out.parent / made if command[0] == "pretrain-teacher" else out / (made or "report.html")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        if command[0] == "demo-sites":
            (out / "public_shapes").mkdir()
        return subprocess.CompletedProcess([], 3 if "rounds=0" in command and os.environ.get("FAIL") else 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.delenv("FAIL", raising=False)
    return found


def words_of(command: list[str]) -> argparse.Namespace:
    """Parse a command as the program would: a word that it does not know is an error."""
    return entry.build_parser().parse_args(command)


def test_it_makes_hospitals_and_teacher_once_and_runs_three_parts(ran: Ran, tmp_path: Path) -> None:
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    assert [command[0] for command, _ in ran] == ["demo-sites", "pretrain-teacher", "run", "run", "run"]
    assert {mark for _, mark in ran} == {own_mark()}
    runs = [words_of(command) for command, _ in ran[2:]]
    assert [Path(args.out).name for args in runs] == list(demo.PARTS)
    assert [args.engine for args in runs] == ["nvflare", "local", "local"]
    assert [args.reuse for args in runs] == [None, *[tmp_path / "demo" / "few_rounds"] * 2]
    assert runs[2].leave == ["site_b=2"]
    ran.clear()
    assert main(["demo", "--out", str(tmp_path / "demo"), "--parts", "one_shot"]) == 0
    assert [command[0] for command, _ in ran] == ["run"]


def test_a_part_that_fails_ends_it(ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIL", "1")
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 3
    assert len(ran) == 4


def test_a_command_that_another_one_started_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[str] = []
    monkeypatch.setattr(launcher, "_end_with", watched.append)
    monkeypatch.setenv(LAUNCHER, "1:2.0")
    assert main(["prepare-data", "--list"]) == 0
    monkeypatch.delenv(LAUNCHER)
    assert main(["prepare-data", "--list"]) == 0
    assert watched == ["1:2.0"]


def test_the_steps_that_poc_names_are_those_it_has() -> None:
    assert tuple(poc_steps.STEPS) == STEPS
    assert set(poc_steps.ALONE) < set(STEPS)
    assert "demo" in COMMANDS
