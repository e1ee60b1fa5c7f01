# SPDX-License-Identifier: Apache-2.0
"""CONTRIBUTING.md shows how a method is added by what is really there: every path and every line of code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.test_rooms import MAY_IMPORT

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "custom" / "dsfedmed"
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]*)`")
LEFT_OUT = "...\n"
"""A line in place of lines left out of an excerpt."""


def section(title: str) -> str:
    """Return the text below a heading, up to the next one."""
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def excerpts() -> list[tuple[str, str]]:
    """Return the file and the code of every excerpt: the file is the first that its step names."""
    found = []
    for step in re.split(r"^(?=\*\*\d+\. )", section("Add a method"), flags=re.MULTILINE)[1:]:
        for language, code in BLOCK.findall(step):
            if language == "python":
                (file, *_) = PATH.findall(step)
                found.append((file, code))
    return found


def test_the_recipe_is_there() -> None:
    steps = re.findall(r"^\*\*(\d+)\. ", section("Add a method"), flags=re.MULTILINE)
    assert steps == [str(number) for number in range(1, 8)]
    assert [file.rpartition("/")[2] for file, _ in excerpts()] == [
        "local_layers.py", "local_layers.py", "tasks.py", "fedbn.py", "methods.py",
    ]  # fmt: skip


@pytest.mark.parametrize(("file", "code"), excerpts(), ids=[file for file, _ in excerpts()])
def test_an_excerpt_is_in_its_file_word_for_word(file: str, code: str) -> None:
    text, at = (ROOT / file).read_text(encoding="utf-8"), 0
    for part in re.split(rf"^{re.escape(LEFT_OUT)}", code, flags=re.MULTILINE):
        assert part.strip()
        found = text.find(part, at)
        assert found >= 0, f"not in {file}, or not in this order:\n{part}"
        at = found + len(part)


@pytest.mark.parametrize("title", ["Rooms", "Rules", "Add a method", "Tests"])
def test_every_path_exists(title: str) -> None:
    """A room may be named by its place in the package alone."""
    named = [path for path in PATH.findall(section(title)) if not re.search(r"ROOM|MODULE", path)]
    assert named
    lacking = [path for path in named if not (ROOT / path).exists() and not (PACKAGE / path).exists()]
    assert lacking == []


def test_every_command_names_a_script_or_module_that_exists() -> None:
    words = [word for language, code in BLOCK.findall(TEXT) if not language for word in code.split()]
    scripts = [word for word in words if word.endswith(".py")]
    assert scripts == ["jobs/fedbn/job.py"] * 2
    assert all((ROOT / script).is_file() for script in scripts)
    targets = re.findall(r"^make ([\w-]+)", TEXT, flags=re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    apart = ["slow-test", "deployment-test", "label-test", "tracking-test", "page-test"]
    assert targets == ["setup", "check", *apart, "docs", "wheel"]
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


def rooms() -> list[list[str]]:
    """Return the rooms of each row of the table, from the top."""
    rows = [row.split("|")[1] for row in section("Rooms").splitlines() if row.startswith("| `")]
    return [[room.rstrip("/") for room in re.findall(r"`([^`]+)`", row)] for row in rows]


def test_the_rooms_are_those_of_the_package() -> None:
    """Every folder of the package is a room of the table, and the other way round."""
    folders = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.glob("*/__init__.py")}
    inner = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.glob("federated/*/__init__.py")}
    no_rooms = {"federated", "federated/privacy"}  # the latter only refuses class paths of version 0.3
    assert {room for row in rooms() for room in row} == (folders | inner) - no_rooms


def test_no_room_may_import_one_below_it() -> None:
    height = {room: number for number, row in enumerate(rooms()) for room in row}
    wrong = [
        f"{room} may import {other}"
        for room, allowed in MAY_IMPORT.items()
        for other in allowed
        if room in height and height[other] > height[room]
    ]
    assert wrong == []
