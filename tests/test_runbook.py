# SPDX-License-Identifier: Apache-2.0
"""The runbook tells of commands, options, events and words that there are; the workflow calls targets that exist."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from dsfedmed.cli.job.words import build_parser as job_parser
from dsfedmed.cli.main import build_parser

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "custom" / "dsfedmed").rglob("*.py"))
COMMANDS = sorted({code for code in re.findall(r"`(dsfedmed [^`]+)`", TEXT)})
EVENTS = ("missing", "returned", "left out", "refused", "other versions", "redone")


def test_it_covers_what_it_has_to() -> None:
    titles = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    wanted = {"A site is down", "A certificate is about to end", "A disk is full", "A suspected attack"}
    assert wanted <= set(titles)
    for title in wanted:
        assert "| type | see |" in TEXT.split(f"## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_are_known_with_their_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, name, *words = shlex.split(command)
    asked = [name] if name != "poc" else [name, *words[:1]]
    with pytest.raises(SystemExit):
        build_parser().parse_args([*asked, "--help"])
    said = capsys.readouterr().out
    assert all(word in said for word in words if word.startswith("-"))


def test_there_are_such_commands_to_look_at() -> None:
    assert {command.split()[1] for command in COMMANDS} >= {"poc", "report", "setup-party", "check-bundle"}
    assert "--no-cases" in job_parser("dsfedmed", "").format_help()


@pytest.mark.parametrize("kind", EVENTS)
def test_its_events_are_written(kind: str) -> None:
    assert f"`{kind}`" in TEXT
    assert f'"{kind}"' in SOURCE


@pytest.mark.parametrize(
    "words",
    ["taken over from ", "which ended without a word", "is in use by ", "the disk is full",
     "Free space and start the same command again: finished stages are kept", "where {whose} has ",
     "Start in another run folder"],
)  # fmt: skip
def test_its_messages_are_those_of_the_program(words: str) -> None:
    assert words in SOURCE
    assert words.replace("{whose}", "the server") in TEXT.replace("\n", " ")


def test_the_line_that_shows_events_works(tmp_path: Path) -> None:
    (line,) = re.findall(r'`(python -c "[^`]+)`', TEXT)
    event = {"kind": "refused", "site": "site_b", "message": "its update is not finite"}
    (tmp_path / "record.json").write_text(json.dumps({"events": [event]}))
    done = subprocess.run(
        ["sh", "-c", line.replace("RUN/", f"{tmp_path}/")], capture_output=True, text=True, check=True
    )
    assert done.stdout == "refused site_b its update is not finite\n"


def test_the_workflow_runs_targets_that_there_are() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "checks.yml").read_text())["jobs"]
    runs = {step["run"] for job in jobs.values() for step in job["steps"] if "run" in step}
    runs |= {f"make {target}" for target in jobs["slow"]["strategy"]["matrix"]["target"]}
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert runs >= {"make audit", "make secrets", ".ci/run", "make slow-test", "make prov-test", "make planted-faults"}
    named = {run.removeprefix("make ") for run in runs if run.startswith("make ") and "$" not in run}
    assert named <= set(targets)
    assert (ROOT / ".ci" / "run").is_file()
    tools = (ROOT / "requirements-audit.txt").read_text()
    assert "pip-audit" in tools
    assert "detect-secrets" in tools
