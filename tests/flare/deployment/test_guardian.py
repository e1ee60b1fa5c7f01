# SPDX-License-Identifier: Apache-2.0
"""The parties of a POC federation end with a command that is killed, and a second command waits for its turn."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsfedmed.cli.job import poc_steps as command
from dsfedmed.cli.main import main
from dsfedmed.errors import StoreError
from dsfedmed.federated.party.launcher import mark_of
from dsfedmed.flare.deployment.guardian import LOCK
from dsfedmed.flare.deployment.poc import PROJECT, Poc
from dsfedmed.store.run_lock import JOB, run_lock
from tests.federated.party.test_launcher import is_gone

PARTY = "import time; time.sleep(60)"
COMMAND = """
import sys, time
from pathlib import Path
from dsfedmed.flare.deployment.guardian import guarded
from dsfedmed.flare.deployment.poc import Poc
with guarded(Poc(Path(sys.argv[1]))):
    while not (Path(sys.argv[1]) / "parties.lock").exists():
        time.sleep(0.05)
    print("guarded", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def poc(tmp_path: Path) -> Poc:
    """A federation as `dsfedmed poc prepare` leaves it, as far as its processes are concerned."""
    found = Poc(tmp_path / "poc")
    for name in ("server", "site_a"):
        (found.workspace / PROJECT / "prod_00" / name).mkdir(parents=True)
    project = "participants:\n- {name: server, type: server}\n- {name: site_a, type: client}\n"
    (found.workspace / "project.yml").write_text(project)
    return found


@pytest.fixture
def parties(poc: Poc) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Stand-ins for the two parties, found by their kits."""
    words = {"server": "server.server_train", "site_a": "client.client_train"}
    started = [
        subprocess.Popen([sys.executable, "-S", "-c", PARTY, word, str(poc.kit(name))]) for name, word in words.items()
    ]
    yield started
    for process in started:
        process.kill()
        process.wait()


def guarding(poc: Poc) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", COMMAND, str(poc.work)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == "guarded\n"
    return process


def test_parties_end_with_a_killed_command(poc: Poc, parties: list[subprocess.Popen[bytes]]) -> None:
    process = guarding(poc)
    marks = [mark_of(party.pid) for party in parties]
    assert sorted(poc.running()) == sorted(party.pid for party in parties)
    process.kill()
    process.communicate()
    assert all(is_gone(mark) for mark in marks)
    with run_lock(poc.work, LOCK, patience_s=20):  # and the guardian ends behind them
        assert poc.running() == []


@pytest.mark.slow
def test_a_command_that_ends_by_itself_leaves_the_parties_to_who_stops_them(
    poc: Poc, parties: list[subprocess.Popen[bytes]]
) -> None:
    guarding(poc).communicate("")
    with run_lock(poc.work, LOCK):  # no guardian is left
        time.sleep(1)
    assert [party.poll() for party in parties] == [None, None]


def test_new_certificates_are_not_made_under_running_parties(
    poc: Poc, parties: list[subprocess.Popen[bytes]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["poc", "prepare", "--work", str(poc.work), "--sites", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert all(str(party.pid) in said for party in parties)
    assert "dsfedmed poc stop" in said


@pytest.mark.parametrize("step", command.ALONE)
def test_one_command_at_a_time_works_on_a_federation_s_folder(step: str, poc: Poc) -> None:
    args = argparse.Namespace(step=step, work=poc.work)
    with run_lock(poc.work, JOB), pytest.raises(StoreError, match=f"is in use by process {os.getpid()} since"):
        command.run_step(args)
