# SPDX-License-Identifier: Apache-2.0
"""The project of poc/project.yml with local processes: hospitals set up as the guide says, and who may do what."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from dsfedmed.cli.main import main
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.flare.deployment.command import DeploymentError, NVFlareCommand
from dsfedmed.flare.deployment.federation import Federation
from dsfedmed.flare.deployment.parties import kill_party, start_party
from dsfedmed.flare.deployment.provisioned import on_this_machine, participants, provision, read_project
from dsfedmed.flare.recipe import export_job
from dsfedmed.store.files import read_json
from tests.flare.deployment.conftest import free_port, smoke
from tests.runs.commands import ROOT
from tests.runs.other_pictures import NAMES, with_four_channels

pytestmark = pytest.mark.deployment

SERVER = "fl.example.org"
SITES = ["hospital_a", "hospital_b", "hospital_c"]
COORDINATOR = "coordinator@coordinating-centre.example"
LEAD = "lead@coordinating-centre.example"
OWN_ADMIN = "admin@hospital-a.example"
OBSERVER = "observer@hospital-a.example"
BUNDLES = str(ROOT / "bundles")


@dataclass(frozen=True)
class Provisioned:
    """Kits of everybody, and the federation as each user sees it."""

    kits: Path
    work: Path
    command: NVFlareCommand

    def user(self, name: str) -> Federation:
        return Federation(self.command, self.kits / name)

    def job(self, name: str, **changes: Any) -> Path:
        """The smoke job under another name, to be changed by a test."""
        return export_job(smoke(**changes), self.work / "jobs", name)


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provisioned]:
    """Provisioned, set up, checked, started and connected, in the order of poc/SITE_GUIDE.md."""
    work = tmp_path_factory.mktemp("prov")
    make_demo_sites(work / "data", seed=0, sites=SITES, training=12, validation=12, test=6)
    command = NVFlareCommand(work / "home")
    project = on_this_machine(read_project(ROOT / "poc" / "project.yml"), free_port())
    (work / "project.yml").write_text(yaml.safe_dump(project, sort_keys=False))
    kits = provision(work / "project.yml", work / "kits", command)
    parties = [SERVER, *SITES]
    assert participants(project, "server") + participants(project, "client") == parties
    try:
        _set_up_server(kits, work)
        command.call("preflight-check", "-p", str(kits / SERVER), timeout=120)
        start_party(kits / SERVER, command)
        Federation(command, kits / COORDINATOR).wait_for([], 60)
        for site in SITES:
            _set_up_site(kits, work, site)
            assert main(["check-site", str(work / "data" / site)]) == 0
            command.call("preflight-check", "-p", str(kits / site), timeout=120)
            start_party(kits / site, command)
        Federation(command, kits / COORDINATOR).wait_for(SITES, 180)
        yield Provisioned(kits, work, command)
        Federation(command, kits / COORDINATOR).shut_down()
    finally:
        for name in parties:
            kill_party(kits / name)


def _set_up_server(kits: Path, work: Path) -> None:
    where = ["--run", str(work / "runs" / "{run}"), "--storage", str(work / "nvflare"), "--bundles", BUNDLES]
    assert main(["setup-party", str(kits / SERVER), *where, "--policies", str(ROOT / "poc/sites/server/local")]) == 0


def _set_up_site(kits: Path, work: Path, site: str) -> None:
    where = ["--data", str(work / "data" / site), "--output", str(work / "out" / site / "{run}"), "--bundles", BUNDLES]
    policies = [str(ROOT / f"poc/sites/{site}/local"), str(_privacy(work, site))]
    assert main(["setup-party", str(kits / site), *where, "--policies", *policies]) == 0


def _privacy(work: Path, site: str) -> Path:
    """Each hospital has another policy; hospital_b's adds noise and lets its branch pass all the same."""
    policy = {"hospital_a": "guarded", "hospital_b": "noise", "hospital_c": "no_generator"}[site]
    folder = work / "policies" / site
    shutil.copytree(ROOT / "poc" / "policies" / policy, folder)
    if site == "hospital_b":
        content = json.loads((folder / "privacy.json").read_text())
        noise, guard = content["scopes"][0]["task_result_filters"]
        noise["args"]["networks"] = "pass"
        guard["args"] = {}
        (folder / "privacy.json").write_text(json.dumps(content))
    return folder


def _ends_badly(federation: Federation, job: Path) -> str:
    """Submit a job that must not run; return all that NVFlare says of its end."""
    job_id = federation.submit(job)
    status = federation.wait(job_id, 120)
    assert status != "FINISHED:COMPLETED"
    return f"{status} {federation.meta(job_id)}"


def test_the_lead_submits_and_fetches_a_complete_run(hospitals: Provisioned) -> None:
    lead = hospitals.user(LEAD)
    job_id = lead.submit(hospitals.job("dsfedmed"))
    assert lead.wait(job_id, 300) == "FINISHED:COMPLETED"
    results = lead.fetch(job_id, hospitals.work / "fetched")
    record = read_json(results / "record.json")
    assert record["verdict"] == "complete"
    assert record["sites"] == SITES
    assert (results / "release" / "models" / "model.pt").exists()
    with pytest.raises(DeploymentError):
        hospitals.user(OWN_ADMIN).fetch(job_id, hospitals.work / "not_theirs")
    for site in SITES:
        assert (hospitals.kits / site / "audit.log").exists()
    _policies_were_kept(hospitals, record)


def _policies_were_kept(hospitals: Provisioned, record: dict[str, Any]) -> None:
    """The run respected what each hospital's privacy.json says, and says so."""
    refused = {(event["site"], event["message"].split(".")[0]) for event in record["events"]}
    assert ("hospital_c", "the site does not send its branch") in refused
    assert set(record["masks"]) == {"hospital_a", "hospital_b"}, "no branch, no masks, and yet it takes part"
    assert "hospital_c" in record["curves"]["dsfedmed"][-1]["loss"]
    assert set(record["privacy"]) == {"hospital_b"}
    stated = record["privacy"]["hospital_b"]
    assert stated["releases"] == record["config"]["rounds"] + record["config"]["generator"]["base_rounds"]
    assert stated["epsilon"] is None, "so little noise protects nothing that could be stated"
    (ledger,) = (hospitals.work / "out" / "hospital_a").glob("*/egress.json")
    assert read_json(ledger)["branch"]["replies"] == 1
    assert read_json(ledger)["update"]["bytes"] > 1_000_000


@pytest.mark.parametrize("user", [OBSERVER, OWN_ADMIN, COORDINATOR])
def test_only_the_lead_may_submit(hospitals: Provisioned, user: str) -> None:
    with pytest.raises(DeploymentError, match=r"(?i)not authorized|permission|denied|not permitted"):
        hospitals.user(user).submit(hospitals.job("by_another"))


def test_the_lead_may_not_stop_hospitals(hospitals: Provisioned) -> None:
    with pytest.raises(DeploymentError):
        hospitals.user(LEAD).shut_down()
    assert hospitals.user(LEAD).connected() == SITES


def test_a_job_that_carries_code_is_refused(hospitals: Provisioned) -> None:
    job = hospitals.job("with_code")
    (job / "app" / "custom").mkdir(exist_ok=True)
    shutil.copy(ROOT / "tests/flare/faulty.py", job / "app" / "custom" / "faulty.py")
    said = ""
    try:
        said = _ends_badly(hospitals.user(LEAD), job)
    except DeploymentError as error:
        said = str(error)
    assert "byoc" in said.lower(), said


def test_a_class_that_no_hospital_allowed_is_refused(hospitals: Provisioned) -> None:
    """It stands in the standard library of every site; naming it in a job would run any command there."""
    job = hospitals.job("other_class")
    config = job / "app" / "config" / "config_fed_client.json"
    content = json.loads(config.read_text())
    marker = hospitals.work / "was_here"
    content["components"].append({"id": "x", "path": "subprocess.Popen", "args": {"args": ["touch", str(marker)]}})
    config.write_text(json.dumps(content))
    _ends_badly(hospitals.user(LEAD), job)
    logs = "".join(path.read_text() for path in (hospitals.kits / "hospital_a").rglob("*log*.txt"))
    assert "subprocess.Popen" in logs
    assert "ComponentNotAuthorized" in logs or "not authorized" in logs.lower()
    assert not marker.exists()


def test_a_hospital_whose_updates_are_all_noise_harms_nobody(hospitals: Provisioned) -> None:
    """hospital_b's own policy drowns every update: about 1,000 times as long as an honest one, and finite."""
    policy = hospitals.kits / "hospital_b" / "local" / "privacy.json"
    kept = policy.read_text()
    content = json.loads(kept)
    content["scopes"][0]["task_result_filters"][0]["args"]["noise_multiplier"] = 1.0
    policy.write_text(json.dumps(content))
    lead = hospitals.user(LEAD)
    try:
        job_id = lead.submit(hospitals.job("noisy", seed=2, rounds=3))
        assert lead.wait(job_id, 300) == "FINISHED:COMPLETED"
    finally:
        policy.write_text(kept)
    record = read_json(lead.fetch(job_id, hospitals.work / "fetched_noisy") / "record.json")
    assert record["verdict"] == "complete"
    refused = [event for event in record["events"] if event["kind"] == "refused" and "as long as" in event["message"]]
    rounds = {(event["site"], event["round"]) for event in refused if event["stage"] == "rounds"}
    assert rounds == {("hospital_b", number) for number in (1, 2, 3)}
    assert all(set(entry["loss"]) == {"hospital_a", "hospital_c"} for entry in record["curves"]["dsfedmed"])


def test_hospitals_with_four_channels_come_to_a_release(hospitals: Provisioned) -> None:
    """The last test: the hospitals' pictures are replaced, for a run of their own by its seed."""
    for number, site in enumerate(SITES):
        with_four_channels(hospitals.work / "data" / site, NAMES if number % 2 else NAMES[::-1])
        assert main(["check-site", str(hospitals.work / "data" / site)]) == 0
    lead = hospitals.user(LEAD)
    job_id = lead.submit(hospitals.job("four_channels", seed=1))
    assert lead.wait(job_id, 300) == "FINISHED:COMPLETED"
    results = lead.fetch(job_id, hospitals.work / "fetched_four")
    record = read_json(results / "record.json")
    assert record["verdict"] == "complete"
    assert all(facts["channel_names"] == list(NAMES) for facts in record["facts"].values())
    image = read_json(results / "release/configs/metadata.json")["network_data_format"]["inputs"]["image"]
    assert image["channel_def"] == {str(place): name for place, name in enumerate(NAMES)}
