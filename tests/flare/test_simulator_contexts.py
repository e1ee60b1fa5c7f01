# SPDX-License-Identifier: Apache-2.0
"""NVFlare's simulator sends each site's process that site's own name, however its threads meet."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nvflare.private.fed.app.simulator import simulator_runner

from dsfedmed.flare.simulator_contexts import SIMULATOR, separate_contexts

SITES = ("site_a", "site_b", "site_c")


class _Runner(simulator_runner.SimulatorClientRunner):
    """NVFlare's own runner over made-up sites; every thread has written its name before any sends."""

    def __init__(self, workspace: Path) -> None:
        self.clients = [SimpleNamespace(client_name=name, simulate_running=False) for name in SITES]
        for client in self.clients:
            client.token = "-"
            for folder in ("startup", "local"):
                (workspace / client.client_name / folder).mkdir(parents=True)
            client.cell = SimpleNamespace(get_root_url_for_child=str, get_internal_listener_url=str)
        settings = SimpleNamespace(workspace=str(workspace), threads=len(SITES), log_config="l", set=None)
        super().__init__("", settings, self.clients, {}, _Meeting(len(SITES)), {})
        self.sent: list[str] = []

    def _create_connection(self, open_port: int, timeout: float = 60.0) -> Any:
        names = self.sent

        class Connection:
            def send(self, data: Any) -> None:
                if isinstance(data, dict):
                    names.append(data["build_ctx"]["client_name"])

            def recv(self) -> bool:
                raise EOFError

        return Connection()

    def start_all(self) -> list[str]:
        """Start every site as the simulator does; return the names that were sent, sorted."""
        starts = [
            threading.Thread(target=self.do_one_task, args=(client, len(SITES), None, threading.Lock()))
            for client in self.clients
        ]
        for thread in starts:
            thread.start()
        for thread in starts:
            thread.join()
        return sorted(self.sent)


class _Meeting:
    """Arguments whose copying, the step between writing the name and sending it, waits for all threads."""

    def __init__(self, count: int) -> None:
        self.barrier, self.workspace = threading.Barrier(count), "w"

    def __deepcopy__(self, memo: Any) -> SimpleNamespace:
        self.barrier.wait(20)
        return SimpleNamespace(workspace="w")


@pytest.fixture
def stock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start from NVFlare as it is, without processes, and leave it so."""
    runner = simulator_runner.SimulatorClientRunner
    monkeypatch.setattr(runner, "do_one_task", getattr(runner.do_one_task, "__wrapped__", runner.do_one_task))
    monkeypatch.setattr(simulator_runner.subprocess, "Popen", lambda *_, **__: SimpleNamespace(poll=lambda: None))
    monkeypatch.setattr(runner, "_cleanup_process", lambda *_, **__: None)


@pytest.mark.usefixtures("stock")
def test_each_process_is_sent_its_own_name_when_all_start_at_once(tmp_path):
    sent = _Runner(tmp_path / "stock").start_all()
    assert len(set(sent)) == 1, "NVFlare no longer shares the name: the workaround can go"
    assert separate_contexts()
    assert _Runner(tmp_path / "fixed").start_all() == list(SITES)


@pytest.mark.usefixtures("stock")
def test_a_second_call_changes_nothing():
    separate_contexts()
    once = simulator_runner.SimulatorClientRunner.do_one_task
    separate_contexts()
    assert simulator_runner.SimulatorClientRunner.do_one_task is once


def test_no_simulator_is_loaded_for_it():
    code = "import sys\nfrom dsfedmed.flare.simulator_contexts import SIMULATOR, separate_contexts\n"
    code += "sys.exit(separate_contexts() or SIMULATOR in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert SIMULATOR in sys.modules
