# SPDX-License-Identifier: Apache-2.0
"""One process at a time works on a run folder; a dead one does not stand in the way."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dsfedmed.errors import StoreError
from dsfedmed.store.run_lock import JOB, SERVER, run_lock

HOLD = """
import sys, pathlib
from dsfedmed.store.run_lock import run_lock
with run_lock(pathlib.Path(sys.argv[1]), "job.lock"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_in_use_is_refused_with_its_holder_and_a_dead_holder_is_none(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        told = rf"^[^\n]* is in use by process {process.pid} since 20\d\d-[^\n]*$"
        with pytest.raises(StoreError, match=told), run_lock(tmp_path, JOB):
            pass
    finally:
        process.kill()
        process.communicate()
    assert json.loads((tmp_path / JOB).read_text())["pid"] == process.pid  # what a killed process leaves
    with run_lock(tmp_path, JOB):
        assert json.loads((tmp_path / JOB).read_text())["pid"] == os.getpid()
    assert not (tmp_path / JOB).exists()


def test_within_one_process_a_second_lock_is_refused_too(tmp_path: Path) -> None:
    with run_lock(tmp_path, JOB):
        with pytest.raises(StoreError, match=f"is in use by process {os.getpid()}"), run_lock(tmp_path, JOB):
            pass
        with run_lock(tmp_path, SERVER):  # another lock
            pass
    with run_lock(tmp_path, JOB):
        pass


def test_a_folder_that_stays_empty_is_removed_and_another_stays(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), run_lock(tmp_path / "new", JOB):
        raise ZeroDivisionError
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    with pytest.raises(ZeroDivisionError), run_lock(tmp_path / "runs" / "new", JOB):
        _ = 1 / 0
    assert not (tmp_path / "runs").exists()
    with run_lock(tmp_path / "old", JOB):
        pass
    with run_lock(tmp_path / "used", JOB):
        (tmp_path / "used" / "record.json").write_text("{}")
    assert (tmp_path / "old").is_dir()
    assert (tmp_path / "used" / "record.json").exists()


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = r"file: cannot be a run folder \(File exists\)"
    with pytest.raises(StoreError, match=told), run_lock(tmp_path / "file", JOB):
        pass


def test_the_next_one_learns_of_a_holder_that_was_killed_and_of_none_that_ended(tmp_path: Path) -> None:
    process = holder(tmp_path)
    process.kill()
    process.communicate()
    with run_lock(tmp_path, JOB) as dead:
        assert dead.startswith(f"process {process.pid} since 20")
    with run_lock(tmp_path, JOB) as dead:
        assert dead == ""


def test_a_holder_that_ends_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    process = holder(tmp_path)
    began = time.monotonic()
    with pytest.raises(StoreError, match="is in use by process"), run_lock(tmp_path, JOB, patience_s=0.3):
        pass
    assert 0.3 <= time.monotonic() - began < 20
    threading.Timer(0.5, process.kill).start()
    with run_lock(tmp_path, JOB, patience_s=30) as dead:
        assert dead.startswith(f"process {process.pid} ")
    process.communicate()


def test_on_a_full_disk_the_lock_holds_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with run_lock(tmp_path, JOB), pytest.raises(StoreError, match="is in use by"), run_lock(tmp_path, JOB):
        pass
    assert not (tmp_path / JOB).exists()
