# SPDX-License-Identifier: Apache-2.0
"""NVFlare's command line: its home is private, its answers are read, its refusals come with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dsfedmed.flare.deployment.command import DeploymentError, NVFlareCommand
from dsfedmed.flare.deployment.poc import poc_project
from dsfedmed.flare.deployment.provisioned import on_this_machine, participants, provision, read_project
from tests.runs.commands import ROOT

PROJECT = ROOT / "poc" / "project.yml"


def test_the_home_and_the_wait_are_ours(tmp_path: Path) -> None:
    environment = NVFlareCommand(tmp_path, {"EXTRA": "1"}).environment()
    assert environment["HOME"] == str(tmp_path)
    assert environment["EXTRA"] == "1"
    assert 0 < float(environment["NVFLARE_CLIENT_OUTCOME_WAIT_TIMEOUT"]) < 900


def test_a_refusal_has_nvflare_s_reason(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=r"nvflare job submit: .*startup"):
        NVFlareCommand(tmp_path).call("job", "submit", "-j", str(tmp_path), "--startup-kit", str(tmp_path / "none"))


def test_no_answer_in_time_is_told(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=r"gave no answer within 0 s"):
        NVFlareCommand(tmp_path).call("job", "list", timeout=0.01)


def test_every_participant_gets_a_startup_kit(tmp_path: Path) -> None:
    project = on_this_machine(read_project(PROJECT), 18999)
    file = tmp_path / "project.yml"
    file.write_text(yaml.safe_dump(project))
    kits = provision(file, tmp_path / "kits", NVFlareCommand(tmp_path / "home"))
    names = [name for kind in ("server", "client", "admin") for name in participants(project, kind)]
    assert sorted(path.name for path in kits.iterdir() if path.is_dir()) == sorted(names)
    assert "localhost:18999" in (kits / "hospital_b" / "startup" / "fed_client.json").read_text()
    assert read_project(PROJECT) != project, "the committed project keeps its own address"


def test_roles_of_the_committed_project() -> None:
    users = [entry for entry in read_project(PROJECT)["participants"] if entry["type"] == "admin"]
    roles = [entry["role"] for entry in users]
    assert [roles.count(role) for role in ("project_admin", "lead", "org_admin", "member")] == [1, 1, 3, 1]


def test_the_poc_project_has_a_lead_and_every_site_once() -> None:
    project = poc_project(["site_a", "site_b"], 18001)
    assert participants(project, "client") == ["site_a", "site_b"]
    assert project["participants"][0]["fed_learn_port"] == 18001
    assert [entry["role"] for entry in project["participants"] if entry["type"] == "admin"] == ["project_admin", "lead"]
