# SPDX-License-Identifier: Apache-2.0
"""A process ends with the one that started it, however that ends: real processes, really killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from dsfedmed.federated.party import launcher
from dsfedmed.federated.party.launcher import LAUNCHER, as_launcher, is_there, mark_of, own_mark, wait_for_end

SOON_S = 5.0
CHILD = (
    "import time; from dsfedmed.federated.party.launcher import end_with_launcher; "
    "end_with_launcher(); print('up', flush=True); "
)
PARENT = """
import subprocess, sys, time
from dsfedmed.federated.party.launcher import as_launcher
with as_launcher():
    words = [sys.executable, "-c", sys.argv[1]]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
assert child.stdout.readline() == "up\\n"
print(child.pid, flush=True)
time.sleep(60)
"""
FORK = """
import multiprocessing, time
from dsfedmed.federated.party.launcher import end_with_launcher
def work():
    end_with_launcher()
    print(multiprocessing.current_process().pid, flush=True)
    time.sleep(60)
process = multiprocessing.get_context("fork").Process(target=work)
process.start()
process.join()
"""


def start(*words: str, **variables: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    return subprocess.Popen([sys.executable, "-c", *words], stdout=subprocess.PIPE, text=True, env=environment)


def first_number(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def is_gone(mark: str) -> bool:
    end = time.monotonic() + SOON_S
    while is_there(mark) and time.monotonic() < end:
        time.sleep(0.02)
    return not is_there(mark)


@pytest.mark.parametrize("signal", ["kill", "terminate"])
@pytest.mark.parametrize("words", [(PARENT, CHILD + "time.sleep(60)"), (FORK,)], ids=["started", "forked"])
def test_a_child_in_a_session_of_its_own_ends_with_a_killed_parent(words: tuple[str, ...], signal: str) -> None:
    parent = start(*words)
    child = mark_of(first_number(parent))
    assert is_there(child)
    getattr(parent, signal)()
    parent.wait()
    assert is_gone(child)
    parent.communicate()


def test_a_child_that_begins_after_its_launcher_has_ended_ends_too() -> None:
    ended = start("pass")
    mark = mark_of(ended.pid)
    ended.wait()
    late = start(CHILD + "time.sleep(60)", **{LAUNCHER: mark})
    assert late.wait(30) == -9
    late.communicate()


def test_a_process_without_launcher_and_the_launcher_itself_go_on() -> None:
    """A hospital's own client is nobody's child; a command that starts others has its own mark in the environment."""
    alone = start(CHILD + "time.sleep(1.5); print('done')", **{LAUNCHER: ""})
    itself = (
        "import os; from dsfedmed.federated.party.launcher import LAUNCHER, own_mark; "
        "os.environ[LAUNCHER] = own_mark(); "
    )
    launching = start(itself + CHILD + "time.sleep(1.5); print('done')")
    assert [process.communicate(timeout=30)[0] for process in (alone, launching)] == ["up\ndone\n"] * 2


def test_another_process_of_the_same_number_is_not_the_launcher() -> None:
    number = own_mark().partition(":")[0]
    assert is_there(own_mark())
    assert mark_of(os.getpid()) == own_mark()
    for other in (f"{number}:1.00", f"{number}:gone", "no number", ""):
        assert not is_there(other)
        wait_for_end(other)  # returns


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="elsewhere the time of start is all there is")
def test_a_clock_that_is_set_makes_no_other_process_of_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system tells the start since boot, and psutil adds the time of boot by today's clock."""
    mark, created = own_mark(), psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: created(process) + 5)
    assert own_mark() == mark
    assert is_there(mark)


def test_where_the_system_has_no_word_of_an_end_it_is_asked_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: int) -> int:
        raise OSError("not allowed")

    monkeypatch.setattr(launcher.os, "pidfd_open", missing, raising=False)
    process = start("import time; time.sleep(1)")
    mark = mark_of(process.pid)
    began = time.monotonic()
    wait_for_end(mark)  # though nobody has waited for the process yet
    assert 0.3 < time.monotonic() - began < 30
    assert process.wait() == 0
    process.communicate()


def test_the_environment_is_as_it_was_behind_the_block(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(LAUNCHER, "7:1.00")
    with as_launcher():
        assert os.environ[LAUNCHER] == own_mark()
    assert os.environ[LAUNCHER] == "7:1.00"
    monkeypatch.delenv(LAUNCHER)
    with as_launcher():
        pass
    assert LAUNCHER not in os.environ
