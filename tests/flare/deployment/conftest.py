# SPDX-License-Identifier: Apache-2.0
"""Real processes for the tests: a POC federation of two hospitals, started once, every party of it ended at the end."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.federated.party.run_key import run_key
from dsfedmed.flare.deployment.parties import kill_party, party_processes
from dsfedmed.flare.deployment.poc import SERVER, Poc
from dsfedmed.flare.recipe import export_job
from dsfedmed.settings import Settings, merge, read_preset
from dsfedmed.store.files import read_json
from tests.runs.commands import ROOT

HOSPITALS = ["site_a", "site_b"]
SMOKE = ROOT / "jobs" / "dsfedmed" / "presets" / "smoke.yaml"
ALONE = {"local": False, "fedavg": False, "equal_steps": False, "teacher": False}


def smoke(**changes: Any) -> Settings:
    """The smoke preset without the methods it is compared with."""
    return Settings.from_dict(merge(read_preset(SMOKE), {"preset": "smoke", "compare": ALONE, **changes}))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], timeout: float, what: str) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.05)


@dataclass
class Hospitals:
    """A running POC federation and what a test does with it."""

    poc: Poc
    data: Path
    started: list[str] = field(default_factory=list)

    def submit(self, settings: Settings) -> str:
        return self.poc.user().submit(export_job(settings, self.poc.work / "jobs"))

    def folder(self, settings: Settings) -> Path:
        """The server's run folder."""
        return self.poc.run_folder(run_key(settings, "dsfedmed"))

    def record(self, settings: Settings) -> dict[str, Any]:
        record: dict[str, Any] = read_json(self.folder(settings) / "record.json")
        return record

    def stage(self, settings: Settings) -> str:
        """What the server does now."""
        status = self.folder(settings) / "status.json"
        return str(read_json(status)["stage"]) if status.exists() else ""

    def rounds(self, settings: Settings) -> int:
        """Rounds that lie finished in the store."""
        state = self.folder(settings) / "store" / "training-dsfedmed.json"
        return int(read_json(state)["info"]["round"]) if state.exists() else 0

    def forget(self, settings: Settings) -> Path:
        """Lay a finished run aside at all parties, so that the same settings begin anew; return where it lies."""
        folder = self.folder(settings)
        aside = folder.with_name(folder.name + "-before")
        shutil.move(folder, aside)
        for site in HOSPITALS:
            shutil.rmtree(self.poc.work / "sites" / site / folder.name)
        return aside


@pytest.fixture(scope="session")
def hospital_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hospitals") / "data"
    make_demo_sites(folder, seed=0, sites=HOSPITALS, training=12, validation=12, test=6)
    return folder


@pytest.fixture(scope="module")
def hospitals(hospital_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospitals]:
    """Two hospitals and a server, each with its own processes and certificates."""
    poc = Poc(tmp_path_factory.mktemp("poc") / "work")
    poc.prepare(SimulatedSites(hospital_data, poc.work, ROOT / "bundles"), free_port())
    try:
        poc.start()
        yield Hospitals(poc, hospital_data)
    finally:
        try:
            poc.stop()
        finally:
            for name in (SERVER, *HOSPITALS):
                kill_party(poc.kit(name))
                assert not party_processes(poc.kit(name))
