# SPDX-License-Identifier: Apache-2.0
"""Kits for Docker and Kubernetes: rendered by NVFlare from our files, and checked as far as that goes without them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from nvflare.app_opt.job_launcher.study_runtime import load_study_runtime_file

from dsfedmed.cli.main import main
from dsfedmed.federated.party.config import load_party_config
from dsfedmed.flare.deployment.command import NVFlareCommand
from dsfedmed.flare.deployment.provisioned import provision
from dsfedmed.flare.workspace import SITE_CLASSES
from tests.runs.commands import ROOT

FILES = ROOT / "poc" / "scale_out"
PARTIES = ("fl.example.org", "hospital_a")
Prepared = dict[tuple[str, str], Path]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The kits of poc/project.yml, prepared for both runtimes."""
    work = tmp_path_factory.mktemp("scale")
    command = NVFlareCommand(work / "home")
    kits = provision(ROOT / "poc" / "project.yml", work / "kits", command)
    made = {}
    for runtime in ("docker", "k8s"):
        for party in PARTIES:
            out, config = work / runtime / party, FILES / f"{runtime}.yaml"
            command.call("deploy", "prepare", str(kits / party), "--config", str(config), "--output", str(out))
            made[runtime, party] = out
    return made


def image(path: Path) -> str:
    return str(yaml.safe_load(path.read_text())["parent"]["docker_image"])


@pytest.mark.parametrize("party", PARTIES)
def test_the_docker_kit_starts_our_image(prepared: Prepared, party: str) -> None:
    script = prepared["docker", party] / "startup" / "start_docker.sh"
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text()
    assert f'"{image(FILES / "docker.yaml")}"' in text
    assert "@@" not in text
    launcher = next(
        component
        for component in json.loads((script.parents[1] / "local/resources.json.default").read_text())["components"]
        if component["id"] == "docker_launcher"
    )
    assert launcher["args"]["default_job_container_kwargs"]["shm_size"] == "8g"


@pytest.mark.parametrize("party", PARTIES)
def test_the_chart_has_every_value_its_templates_ask_for(prepared: Prepared, party: str) -> None:
    chart = prepared["k8s", party] / "helm_chart"
    values = yaml.safe_load((chart / "values.yaml").read_text())
    assert yaml.safe_load((chart / "Chart.yaml").read_text())["apiVersion"] == "v2"
    assert f"{values['image']['repository']}:{values['image']['tag']}" == image(FILES / "k8s.yaml")
    assert values["persistence"]["workspace"]["claimName"] == "nvflws"
    templates = list((chart / "templates").iterdir())
    asked = {match for path in templates for match in re.findall(r"\.Values\.([\w.]+)", path.read_text())}
    assert len(asked) > 10
    assert [name for name in sorted(asked) if not holds(values, name)] == []
    for path in templates:
        text = path.read_text()
        assert text.count("{{") == text.count("}}")
    if party == "hospital_a":
        assert values["securityContext"]["runAsNonRoot"] is True


def holds(values: Any, name: str) -> bool:
    for part in name.split("."):
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


@pytest.mark.parametrize("runtime", ["docker", "k8s"])
def test_a_prepared_kit_is_set_up_like_any_other(prepared: Prepared, runtime: str, tmp_path: Path) -> None:
    """With the paths that its job sees: those under which study_runtime.yaml mounts images and output."""
    kit = tmp_path / "hospital_a"
    shutil.copytree(prepared[runtime, "hospital_a"], kit)
    study = FILES / f"study_runtime-{runtime}.yaml"
    shutil.copy(study, kit / "local" / "study_runtime.yaml")
    mounts = yaml.safe_load(study.read_text())["studies"]["default"]["datasets"]
    assert {name: entry["mode"] for name, entry in mounts.items()} == {"images": "ro", "output": "rw"}
    paths = ["--data", "/data/default/images", "--output", "/data/default/output/{run}", "--bundles",
             "/opt/dsfedmed/bundles", "--device", "cuda"]  # fmt: skip
    assert main(["setup-party", str(kit), *paths]) == 0
    config = load_party_config(kit / "local", "hospital_a", "run-1")
    assert str(config.output) == "/data/default/output/run-1"
    resources = json.loads((kit / "local" / "resources.json").read_text())
    assert set(SITE_CLASSES) < set(resources["class_allow_list"])
    assert any(component["id"] == f"{runtime}_launcher" for component in resources["components"])
    loaded = load_study_runtime_file(str(kit / "local" / "study_runtime.yaml"), runtime)["default"]
    assert {mount.mount_path for mount in loaded.datasets} == {"/data/default/images", "/data/default/output"}


def test_the_image_holds_what_the_kits_name() -> None:
    """The files it copies exist, the ignore file lets them in, and the linter has nothing to say."""
    text = (FILES / "Dockerfile").read_text()
    copied = {word for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE) for word in line.split()[:-1]}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
    assert "WORKDIR /opt/dsfedmed" in text
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([str(linter), str(FILES / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_claims_are_those_that_the_kits_name() -> None:
    claims = {entry["metadata"]["name"]: entry for entry in yaml.safe_load_all((FILES / "pvc.yaml").read_text())}
    study = yaml.safe_load((FILES / "study_runtime-k8s.yaml").read_text())["studies"]["default"]
    named = {entry["source"] for entry in study["datasets"].values()}
    assert set(claims) == named | {yaml.safe_load((FILES / "k8s.yaml").read_text())["parent"]["workspace_pvc"]}
    assert all(entry["kind"] == "PersistentVolumeClaim" for entry in claims.values())
