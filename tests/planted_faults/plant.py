# SPDX-License-Identifier: Apache-2.0
"""Plant known faults into a copy of the tree, one at a time, and see whether the tests notice them.

    python -m tests.planted_faults.plant [--only NAME ...] [--root DIR] [--timeout SECONDS] [--out PAGE]

The faults stand in ``faults.yaml`` beside this file. Only the copy, in a temporary folder, is ever changed. A fault is
killed if one of its own tests fails or takes too long; it survives if they all pass. A fault whose tests cannot be run
at all (no such test, the module no longer imports) is broken: that proves nothing about the tests, and counts as a
failure of this command too. One that no test can see, since it changes nothing that counts, stays in the list with a
reason (``survives``). Before any fault is planted the same tests must pass on the copy as it is.

The exit status is 0 if every fault without such a reason is killed, else 1. ``--out`` writes the figures as a page.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

ROOT = Path(__file__).resolve().parents[2]
FAULTS = Path(__file__).with_name("faults.yaml")
KEYS = {"name", "file", "old", "new", "tests"}
REASON = "survives"
LEFT_OUT_AT_THE_TOP = {".git", ".venv", ".venv-label", "runs", "data", "build", "dist"}
LEFT_OUT_EVERYWHERE = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"}
PASSED, FAILED, WRONG_COPY = 0, 1, 70
PYTEST_IN_THE_COPY = f"""
import pathlib, sys
import dsfedmed, pytest
if pathlib.Path(sys.argv[1]) not in pathlib.Path(dsfedmed.__file__).resolve().parents:
    print("dsfedmed was imported from", dsfedmed.__file__)
    sys.exit({WRONG_COPY})
sys.exit(pytest.main(sys.argv[2:]))
"""
"""Runs pytest in a process that has made sure that it tests the copy, not the installed package."""


@dataclass(frozen=True)
class Fault:
    """A fault to plant.

    Attributes:
        name: what the table calls it.
        file: where, relative to the root of the repository.
        old: source text that occurs exactly once in that file.
        new: what takes its place.
        tests: pytest paths, of which one at least must fail.
        survives: why none does, where that is known; empty for all others.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    survives: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of a fault: "killed" by ``reason``, a test or the clock, "survived", or "broken" for ``reason``."""

    end: Literal["killed", "survived", "broken"]
    reason: str = ""

    def __str__(self) -> str:
        """Return the right half of a row of the table."""
        words = {"killed": f"killed by {self.reason}", "survived": "SURVIVED", "broken": f"BROKEN: {self.reason}"}
        return words[self.end]


def read_faults(path: Path = FAULTS) -> tuple[Fault, ...]:
    """Read the list of faults.

    Raises:
        ValueError: an entry has other keys than those of ``Fault``, or two have one name.
    """
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    for entry in entries:
        if set(entry) - {REASON} != KEYS:
            raise ValueError(f"{path}: {entry.get('name', entry)} has the keys {sorted(entry)}, not {sorted(KEYS)}")
    names = [entry["name"] for entry in entries]
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: a name occurs twice")
    return tuple(Fault(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries)


def problems_of(fault: Fault, root: Path) -> list[str]:
    """Return why a fault cannot be planted in the tree at ``root``, or its tests not be run; empty if all is well."""
    path = root / fault.file
    if not path.is_file():
        return [f"{fault.file} does not exist"]
    text, found = path.read_text(encoding="utf-8"), []
    if (count := text.count(fault.old)) != 1:
        found.append(f"its old text occurs {count} times in {fault.file}, not once")
    elif fault.old == fault.new:
        found.append("its new text is the old one")
    elif not _is_python(text.replace(fault.old, fault.new)):
        found.append(f"{fault.file} is no Python any more with its new text")
    lacking = [test for test in fault.tests if not _exists(root, test)]
    return found + [f"there is no test {test}" for test in lacking] + ([] if fault.tests else ["it names no test"])


def _is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def _exists(root: Path, test: str) -> bool:
    """Tell whether a pytest path names a file with that function; the values of a parameter are not looked at."""
    file, *names = test.split("[")[0].split("::")
    if not (root / file).is_file():
        return False
    body: Sequence[ast.stmt] = ast.parse((root / file).read_text(encoding="utf-8")).body
    for name in names:
        inner = [node for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name]
        if not inner:
            return False
        body = inner[0].body
    return True


@contextmanager
def copy_of(root: Path) -> Iterator[Path]:
    """Copy the tree at ``root`` to a temporary folder, without what git ignores, and remove it at the end."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        top = LEFT_OUT_AT_THE_TOP if Path(folder) == root else set()
        return {name for name in names if name in top | LEFT_OUT_EVERYWHERE or name.endswith(".egg-info")}

    with tempfile.TemporaryDirectory(prefix="planted_faults_") as folder:
        copy = Path(folder).resolve() / "tree"
        shutil.copytree(root, copy, symlinks=True, ignore=left_out)
        yield copy


@contextmanager
def planted(fault: Fault, copy: Path) -> Iterator[None]:
    """Have the fault in the copy within the block."""
    path = copy / fault.file
    sound = path.read_text(encoding="utf-8")
    path.write_text(sound.replace(fault.old, fault.new), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(sound, encoding="utf-8")


def run_tests(copy: Path, tests: Sequence[str], timeout: float) -> tuple[int | None, str]:
    """Run pytest on the copy in a process of its own, up to the first failure.

    No compiled file is written: a fault of the same length, planted within the same second, would go unseen behind it.

    Returns:
        pytest's exit status, None where it took too long, and what was printed.

    Raises:
        RuntimeError: the process imported another ``dsfedmed`` than the copy's.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
    environment["PYTHONPATH"] = os.pathsep.join([str(copy / "custom"), str(copy)])
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    environment.setdefault("OMP_NUM_THREADS", "1")
    options = ["-x", "-ra", "--rootdir", str(copy), "-p", "no:cacheprovider", "--hypothesis-seed", "0"]
    command = [sys.executable, "-c", PYTEST_IN_THE_COPY, str(copy), *options, *tests]
    status, output = _run(command, copy, environment, timeout)
    if status == WRONG_COPY:
        raise RuntimeError(f"the tests do not see the copy in {copy}: {output[-1000:]}")
    return status, output


def _run(command: list[str], folder: Path, environment: dict[str, str], timeout: float) -> tuple[int | None, str]:
    """Run a command in a session of its own, which is ended as a whole if it takes too long or we are stopped."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as printed:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, start_new_session=True, stdout=printed, stderr=subprocess.STDOUT
        )
        status: int | None = None
        try:
            status = process.wait(timeout)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
        printed.seek(0)
        return status, printed.read()


def verdict_on(status: int | None, output: str, timeout: float) -> Verdict:
    """Judge a fault by what its tests did."""
    if status is None:
        return Verdict("killed", f"the limit of {timeout:.0f} s")
    if status == PASSED:
        return Verdict("survived")
    failed = re.search(r"^(?:FAILED|ERROR) (\S+::.+?)(?: - .*)?$", output, re.MULTILINE)
    if status == FAILED and failed:
        return Verdict("killed", failed.group(1))
    return Verdict("broken", f"pytest ended with {status}: {' '.join(output.split())[-300:]}")


def plant_all(faults: Sequence[Fault], root: Path, timeout: float, out: Path | None = None) -> bool:
    """Plant every fault in a copy of the tree, print the table, and tell whether all did what was expected."""
    problems = [f"{fault.name}: {problem}" for fault in faults for problem in problems_of(fault, root)]
    if problems:
        print("\n".join(problems))
        return False
    width, verdicts = max(len(fault.name) for fault in faults), dict[str, Verdict]()
    with copy_of(root) as copy:
        union = list(dict.fromkeys(test for fault in faults for test in fault.tests))
        status, output = run_tests(copy, union, timeout * len(faults))
        if status != PASSED:
            print(f"{output}\nThe tests do not pass as it is; no fault was planted.")
            return False
        print(f"{'(none)':{width}}  passes its {len(union)} tests", flush=True)
        for fault in faults:
            with planted(fault, copy):
                verdicts[fault.name] = verdict_on(*run_tests(copy, fault.tests, timeout), timeout)
            print(f"{fault.name:{width}}  {verdicts[fault.name]}", flush=True)
    ends = [verdict.end for verdict in verdicts.values()]
    print(", ".join(f"{ends.count(end)} {end}" for end in ("killed", "survived", "broken")))
    if out:
        out.write_text(page_of(faults, verdicts), encoding="utf-8")
    return all(is_as_expected(fault, verdicts[fault.name]) for fault in faults)


def is_as_expected(fault: Fault, verdict: Verdict) -> bool:
    """Tell whether a fault was killed, or survived for a reason that is written down."""
    return verdict.end == "killed" or (verdict.end == "survived" and bool(fault.survives))


def page_of(faults: Sequence[Fault], verdicts: Mapping[str, Verdict]) -> str:
    """Return the figures as a page: killed faults by folder, and every one that was not."""
    rooms: dict[str, list[bool]] = {}
    for fault in faults:
        room = "/".join(Path(fault.file).parts[1:-1][:2])
        rooms.setdefault(room, []).append(verdicts[fault.name].end == "killed")
    killed = sum(sum(found) for found in rooms.values())
    lines = [
        "## Planted faults",
        "",
        f"{killed} of {len(faults)} are noticed ({100 * killed / len(faults):.0f} %). Made by",
    ]
    lines += ["", "```", "python -m tests.planted_faults.plant --out docs/results/planted_faults.md", "```", ""]
    lines += ["| folder | planted | noticed |", "|---|---|---|"]
    lines += [f"| `{room}` | {len(found)} | {sum(found)} |" for room, found in sorted(rooms.items())]
    rest = [fault for fault in faults if verdicts[fault.name].end != "killed"]
    lines += ["", *(f"- `{fault.name}`: {fault.survives or verdicts[fault.name]}" for fault in rest)]
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, plant the faults, and return the exit status."""
    faults = {fault.name: fault for fault in read_faults()}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=list(faults), default=list(faults))
    parser.add_argument("--root", type=Path, default=ROOT, help="the tree to copy; by default the one of this file")
    parser.add_argument("--timeout", type=float, default=600, help="seconds that a fault's tests may take")
    parser.add_argument("--out", type=Path, help="page to write the figures to")
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that processes and copy go, as with Ctrl-C
    chosen = [faults[name] for name in asked.only]
    return 0 if plant_all(chosen, asked.root.resolve(), asked.timeout, asked.out) else 1


if __name__ == "__main__":
    sys.exit(main())
