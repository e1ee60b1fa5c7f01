# SPDX-License-Identifier: Apache-2.0
"""A party's processes are found by its kit on their command line; nobody else's are touched."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsfedmed.flare.deployment.command import DeploymentError, NVFlareCommand
from dsfedmed.flare.deployment.parties import kill_party, party_processes, start_party, stop_party

SLEEP = "import time; time.sleep(60)"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[dict[str, subprocess.Popen]]:
    """Stand-ins for a party's worker, job and itself, and for the same of a kit whose name begins alike."""
    kit, other = str(tmp_path / "site_a"), str(tmp_path / "site_ab")
    marks = {"worker": "dsfedmed.federated.site.worker", "job": "client.worker_process", "party": "client.client_train"}
    words = {name: [mark, kit] for name, mark in marks.items()}
    words |= {"other": ["client.client_train", other], "editor": ["notes.txt", f"{kit}/local"]}
    started = {name: subprocess.Popen([sys.executable, "-S", "-c", SLEEP, *rest]) for name, rest in words.items()}
    time.sleep(0.3)
    yield started
    for process in started.values():
        process.kill()
        process.wait()


def test_only_the_party_s_own_processes_are_found_the_party_first(tmp_path: Path, running) -> None:
    found = [process.pid for process in party_processes(tmp_path / "site_a")]
    assert found == [running[name].pid for name in ("party", "job", "worker")]
    assert [process.pid for process in party_processes(tmp_path / "site_a", "job")] == [running["job"].pid]


def test_killing_a_party_leaves_the_others_alone(tmp_path: Path, running) -> None:
    assert kill_party(tmp_path / "site_a") == 3
    assert party_processes(tmp_path / "site_a") == []
    assert running["other"].poll() is None
    assert running["editor"].poll() is None


def test_a_party_that_does_not_stop_is_named(tmp_path: Path, running) -> None:
    (tmp_path / "site_a").mkdir()
    with pytest.raises(DeploymentError, match=rf"{running['party'].pid}.*still run after 0 s"):
        stop_party(tmp_path / "site_a", timeout=0.1)
    assert (tmp_path / "site_a" / "shutdown.fl").exists()


def test_a_folder_that_is_no_kit_is_not_started(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=r"holds no startup/start\.sh"):
        start_party(tmp_path, NVFlareCommand(tmp_path))


def test_a_start_script_that_fails_is_told(tmp_path: Path) -> None:
    (tmp_path / "startup").mkdir()
    (tmp_path / "startup" / "start.sh").write_text("exit 3\n")
    with pytest.raises(DeploymentError, match=r"ended with 3"):
        start_party(tmp_path, NVFlareCommand(tmp_path / "home"))
