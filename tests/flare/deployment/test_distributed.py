# SPDX-License-Identifier: Apache-2.0
"""Kits whose private keys never left their owner, made as poc/distributed/README.md says, and a run on them."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dsfedmed.cli.main import main
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.flare.deployment.command import DeploymentError, NVFlareCommand
from dsfedmed.flare.deployment.federation import Federation
from dsfedmed.flare.deployment.parties import kill_party, start_party
from dsfedmed.flare.recipe import export_job
from dsfedmed.store.files import read_json
from tests.flare.deployment.conftest import free_port, smoke
from tests.runs.commands import ROOT

pytestmark = pytest.mark.deployment

PARTIES = {"server": "localhost", "hospital_a": "hospital_a", "hospital_b": "hospital_b",
           "lead": "lead@coordinating-centre.example"}  # fmt: skip
SITES = ["hospital_a", "hospital_b"]


@dataclass(frozen=True)
class Desk:
    """The coordinator's folder, and in it one folder for what each party keeps to itself."""

    folder: Path
    command: NVFlareCommand
    fingerprint: str

    def file(self, party: str, suffix: str) -> Path:
        return self.folder / party / f"{PARTIES[party]}.{suffix}"

    def kit(self, party: str) -> Path:
        return self.folder / "kits" / "dsfedmed" / "prod_00" / PARTIES[party]

    def package(self, party: str, fingerprint: str) -> None:
        signed = str(self.file(party, "signed.zip"))
        own = ["--request-dir", str(self.folder / party), "-w", str(self.folder / "kits")]
        self.command.call("package", signed, *own, "--fingerprint", fingerprint)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Everybody's request, approved; the server is on this machine."""
    work = tmp_path_factory.mktemp("distributed")
    command, port = NVFlareCommand(work / "home"), free_port()
    for source in (ROOT / "poc" / "distributed").glob("*.yaml"):
        text = source.read_text().replace("fl.example.org", "localhost")  # it is the server's name and its address
        (work / source.name).write_text(re.sub(r"(port:) 8002", rf"\1 {port}", text))
    ca = work / "ca"
    told = command.call("cert", "init", "--profile", str(work / "profile.yaml"), "-o", str(ca))
    for party in PARTIES:
        command.call("cert", "request", "--participant", str(work / f"{party}.yaml"), "--out", str(work / party))
    desk = Desk(work, command, str(told["rootca_fingerprint_sha256"]))
    for party in PARTIES:
        request, profile = str(desk.file(party, "request.zip")), str(work / "profile.yaml")
        command.call("cert", "approve", request, "--ca-dir", str(ca), "--profile", profile)
    return desk


def test_no_private_key_travels(desk: Desk) -> None:
    for party in PARTIES:
        key = desk.file(party, "key").read_bytes()
        assert b"PRIVATE KEY" in key
        for suffix in ("request.zip", "signed.zip"):
            with zipfile.ZipFile(desk.file(party, suffix)) as archive:
                content = [archive.read(name) for name in archive.namelist()]
            assert not any(b"PRIVATE KEY" in part or key in part for part in content)
    assert not list((desk.folder / "ca").glob("hospital*"))


def test_another_authority_is_noticed(desk: Desk) -> None:
    """Whoever swaps the file on its way cannot swap what was said by telephone."""
    wrong = desk.fingerprint[:-2] + ("00" if desk.fingerprint[-2:] != "00" else "11")
    with pytest.raises(DeploymentError, match=r"(?i)fingerprint"):
        desk.package("hospital_a", wrong)
    assert not desk.kit("hospital_a").exists()


@pytest.fixture
def running(desk: Desk) -> Iterator[Desk]:
    """Kits packaged, set up as the site guide says, started and connected."""
    make_demo_sites(desk.folder / "data", seed=0, sites=SITES, training=12, validation=12, test=6)
    for party in PARTIES:
        shutil.rmtree(desk.kit(party), ignore_errors=True)
        desk.package(party, desk.fingerprint)
    bundles = ["--bundles", str(ROOT / "bundles")]
    try:
        own = ["--run", str(desk.folder / "runs" / "{run}"), "--storage", str(desk.folder / "nvflare")]
        assert main(["setup-party", str(desk.kit("server")), *own, *bundles]) == 0
        start_party(desk.kit("server"), desk.command)
        for site in SITES:
            own = ["--data", str(desk.folder / "data" / site), "--output", str(desk.folder / "out" / site / "{run}")]
            assert main(["setup-party", str(desk.kit(site)), *own, *bundles]) == 0
            start_party(desk.kit(site), desk.command)
        Federation(desk.command, desk.kit("lead")).wait_for(SITES, 180)
        yield desk
    finally:
        for party in PARTIES:
            kill_party(desk.kit(party))


def test_a_federation_runs_on_these_kits(running: Desk) -> None:
    lead = Federation(running.command, running.kit("lead"))
    job_id = lead.submit(export_job(smoke(), running.folder / "jobs"))
    assert lead.wait(job_id, 300) == "FINISHED:COMPLETED"
    assert read_json(lead.fetch(job_id, running.folder / "fetched") / "record.json")["verdict"] == "complete"
