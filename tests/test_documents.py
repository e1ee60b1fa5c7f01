# SPDX-License-Identifier: Apache-2.0
"""JSON and YAML are read as they are meant; what asks for too much is refused before it gets it."""

from __future__ import annotations

import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.documents import JSON_BYTES, MOST_LEVELS, parse_json, parse_yaml, read_bytes, read_json, read_yaml

FOLD = 10


def referred(first: str, line: str) -> str:
    """Nine lines, each of which names the one before ten times."""
    lines = [f"a: &a {first}"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} " + line.format(",".join([f"*{before}"] * FOLD)))
    return "\n".join(lines)


def test_plain_texts_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("seed: 3\nsites: [a, b]\nother: &x {k: 1.5}\nagain: *x\n")
    (tmp_path / "a.json").write_text('{"k": [1, {"l": null}]}')
    assert read_yaml(tmp_path / "a.yaml") == {"seed": 3, "sites": ["a", "b"], "other": {"k": 1.5}, "again": {"k": 1.5}}
    assert read_json(tmp_path / "a.json") == {"k": [1, {"l": None}]}
    assert parse_yaml("") is None


@pytest.mark.parametrize("parse", [parse_json, parse_yaml])
def test_levels_are_counted_alike(parse: Callable[[str], Any]) -> None:
    assert parse("[" * 60 + "]" * 60)
    for deep in (MOST_LEVELS + 1, 900, 20_000):
        with pytest.raises(ValueError, match=f"more than {MOST_LEVELS} levels"):
            parse("[" * deep + "]" * deep)


def test_levels_that_references_stand_for_are_counted() -> None:
    """Each line is shallow, and the last one is as deep as all together: nobody could print or write it."""
    lines = ["- &a0 " + "[" * 30 + "]" * 30, *(f"- &a{n} " + "[" * 30 + f"*a{n - 1}" + "]" * 30 for n in range(1, 100))]
    with pytest.raises(ValueError, match=f"more than {MOST_LEVELS} levels"):
        parse_yaml("\n".join(lines))
    assert parse_yaml("\n".join(lines[:2]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (referred("[x,x,x,x]", "[{}]"), "unfold to more than"),
        (referred("{x: 1}", "{{<<: [{}]}}"), "unfold to more than"),
        (f"a: &a {'x' * 100_000}\nb: [{','.join(['*a'] * 100)}]", "unfold to more than"),
        ("a: &a [*a]", "contains itself"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: 0x" + "f" * 5000, "more than 100 digits"),
        ("a: " + ":".join(["59"] * 5000), "more than 100 digits"),
        ("a: 2020-99-99", "month must be"),
        ("a: !!bool perhaps", "perhaps"),
        ("a: !!int ''", "index out of range"),
        ("a: !!timestamp x", "."),
        ("? [1]\n: 2", "unhashable"),
        ("a: 1\n---\nb: 2", "another document"),
        ("a: \x00", "special characters"),
        ("x" * 300_000, "more than 256 KiB"),
    ],
)
def test_yaml_that_is_refused(text: str, words: str) -> None:
    tracemalloc.start()
    with pytest.raises(ValueError, match=words) as error:
        parse_yaml(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * 2**20
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [("1" * 200, "more than 100 digits"), ('{"a": [' + "1" * 9000 + "]}", "4300 digits"), ("{", "Expecting")],
)
def test_json_that_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_json(text)


def test_a_long_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1" * 11)
    with pytest.raises(ValueError, match="more than"):
        read_bytes(tmp_path / "a", 10)
    with pytest.raises(ValueError, match="more than"):
        parse_json(b"1" * 11, most=10)
    with pytest.raises(ValueError, match="more than 32768 KiB"):
        parse_json(b" " * (JSON_BYTES + 1))
    assert read_bytes(tmp_path / "a", 11) == b"1" * 11


def test_pipes_devices_and_folders_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero", "."):
        found: list[str] = []
        reader = threading.Thread(target=lambda name=name, found=found: found.append(_refusal(tmp_path / name)))
        reader.daemon = True
        reader.start()
        reader.join(10)
        assert found == ["it is not a file (a pipe, socket, device or folder)"]
    with pytest.raises(OSError, match="No such file"):
        read_json(tmp_path / "none")


def _refusal(path: Path) -> str:
    try:
        read_json(path)
    except ValueError as error:
        return str(error)
    return "read"
