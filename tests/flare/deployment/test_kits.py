# SPDX-License-Identifier: Apache-2.0
"""Startup kits are set up as their owner says, and nothing but this package is allowed in addition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from nvflare.apis.workspace import Workspace
from nvflare.fuel.common.excepts import ComponentNotAuthorized

from dsfedmed.cli.main import main
from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.config import load_party_config
from dsfedmed.flare.deployment.kits import allow_package, configure_party, copy_policies, is_server_kit
from dsfedmed.flare.workspace import SERVER_CLASSES, SITE_CLASSES
from tests.flare.job_process import NoRunner, start_job
from tests.runs.commands import ROOT

SITES = ("server", "hospital_a", "hospital_b", "hospital_c")
HOSTILE: dict[str, dict[str, Any]] = {
    "dsfedmed.cli.main.main": {"argv": ["demo-sites", "PLANTED"]},
    "dsfedmed.flare.privacy.gaussian.GaussianMechanism": {"clip": 1.0, "noise_multiplier": 1.0, "account": "PLANTED"},
    "dsfedmed.store.stage_store.StageStore": {"folder": {"path": "pathlib.Path"}, "config": {}},
}
"""Calls that the author of a job might want of a hospital's process; "PLANTED" is a path there."""


def _kit(folder: Path, kind: str, resources: dict) -> Path:
    kit = folder / f"a_{kind}"
    (kit / "startup").mkdir(parents=True)
    (kit / "local").mkdir()
    (kit / "startup" / f"fed_{kind}.json").write_text("{}")
    (kit / "local" / "resources.json.default").write_text(json.dumps(resources))
    return kit


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return _kit(tmp_path, "client", {"class_list_enforcement_mode": "enforce", "class_allow_list": ["nvflare.A"]})


@pytest.fixture
def server(tmp_path: Path) -> Path:
    storage = {"args": {"storage": {"args": {"root_dir": "/tmp/nvflare/snapshots"}}}}
    manager = {"id": "job_manager", "args": {"uri_root": "/tmp/nvflare/jobs"}}
    content = {"class_allow_list": [], "servers": [{}], "snapshot_persistor": storage, "components": [manager]}
    return _kit(tmp_path, "server", content)


def _below(value: Any, planted: Path) -> Any:
    return json.loads(json.dumps(value).replace("PLANTED", str(planted)))


def _resources(kit: Path) -> dict:
    return json.loads((kit / "local" / "resources.json").read_text())


def test_the_package_is_allowed_once_and_the_rest_stays(site: Path, server: Path) -> None:
    for kit in (site, site, server):
        allow_package(kit)
    assert _resources(site) == {
        "class_list_enforcement_mode": "enforce",
        "class_allow_list": ["nvflare.A", *SITE_CLASSES],
    }
    assert _resources(server)["class_allow_list"] == [*SERVER_CLASSES]


def test_an_entry_for_the_whole_package_is_taken_out(tmp_path: Path) -> None:
    kit = _kit(tmp_path, "client", {"class_allow_list": ["dsfedmed.", "nvflare.A"]})
    allow_package(kit)
    assert _resources(kit)["class_allow_list"] == ["nvflare.A", *SITE_CLASSES]


def test_every_class_that_a_job_may_name_is_there() -> None:
    for name in (*SITE_CLASSES, *SERVER_CLASSES):
        module, _, kind = name.rpartition(".")
        source = ROOT / "custom" / f"{module.replace('.', '/')}.py"  # not imported: two of them need extras
        assert f"\nclass {kind}(" in source.read_text(), name


@pytest.mark.parametrize("name", HOSTILE)
def test_a_job_cannot_have_a_function_of_the_package_called(name: str, site: Path, tmp_path: Path) -> None:
    """NVFlare makes of a job's configuration whatever it names, with the arguments that it names."""
    allow_package(site)
    planted, arguments = tmp_path / "planted", HOSTILE[name]
    component = {"id": "x", "path": name, "args": {key: _below(value, planted) for key, value in arguments.items()}}
    with pytest.raises(ComponentNotAuthorized, match="not in allow_list"):
        start_job(Workspace(str(site), "hospital_a"), lambda config: config["components"].append(component))
    assert not planted.exists()


def test_the_job_as_it_is_starts(site: Path) -> None:
    """What is refused above is refused for what was added."""
    allow_package(site)
    with pytest.raises(NoRunner):
        start_job(Workspace(str(site), "hospital_a"))


def test_the_server_s_storage_moves_away_from_the_default(server: Path, tmp_path: Path) -> None:
    allow_package(server, tmp_path / "store")
    content = _resources(server)
    assert content["snapshot_persistor"]["args"]["storage"]["args"]["root_dir"] == str(tmp_path / "store/snapshots")
    assert content["components"][0]["args"]["uri_root"] == str(tmp_path / "store/jobs")
    assert content["servers"][0]["heart_beat_timeout"] == 180


def test_a_folder_without_resources_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no resources\.json"):
        allow_package(tmp_path)


def test_kinds_of_kit(site: Path, server: Path, tmp_path: Path) -> None:
    assert is_server_kit(server)
    assert not is_server_kit(site)
    with pytest.raises(ConfigError, match="no startup kit"):
        is_server_kit(tmp_path)


def test_relative_paths_become_absolute_and_absent_values_stay_away(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    configure_party(site, {"data": Path("images"), "output": Path("out/{run}"), "memory_gib": None, "threads": 3})
    config = load_party_config(site / "local", "hospital_a", "dsfedmed-1")
    assert (config.data, config.output) == (tmp_path / "images", tmp_path / "out" / "dsfedmed-1")
    assert (config.memory_gib, config.threads) == (None, 3)


@pytest.mark.parametrize("name", SITES)
def test_no_role_may_bring_code_and_only_the_lead_submits(name: str) -> None:
    rights = json.loads((ROOT / "poc/sites" / name / "local/authorization.json").read_text())["permissions"]
    assert {role for role, may in rights.items() if may.get("submit_job", "none") != "none"} == {"lead"}
    assert all(may.get(right, "none") == "none" for may in rights.values() for right in ("byoc", "shell_commands"))
    assert rights["member"] == {"view": "any"}


def test_setup_party_writes_policies_allow_list_and_settings(site: Path, tmp_path: Path, capsys) -> None:
    words = ["--data", str(tmp_path / "d"), "--output", str(tmp_path / "o" / "{run}"), "--bundles", str(tmp_path / "b")]
    policies = ["--policies", str(ROOT / "poc/sites/hospital_a/local"), "--memory-gib", "8"]
    assert main(["setup-party", str(site), *words, *policies]) == 0
    assert (site / "local" / "authorization.json").exists()
    assert set(SITE_CLASSES) < set(_resources(site)["class_allow_list"])
    assert load_party_config(site / "local", "x").memory_gib == 8
    assert "preflight-check" in capsys.readouterr().out


def test_policies_that_came_with_the_package_go_by_their_name(site: Path, tmp_path: Path, capsys) -> None:
    words = ["setup-party", str(site), "--data", str(tmp_path), "--output", str(tmp_path / "o"), "--policies"]
    assert main([*words, "guarded"]) == 0
    assert (site / "local" / "privacy.json").read_text() == (ROOT / "poc/policies/guarded/privacy.json").read_text()
    assert main([*words, "guard"]) == 2
    assert "--policies guard: no such folder, and none of the policies" in capsys.readouterr().err


def test_a_given_base_is_the_server_s_alone(site: Path, server: Path, tmp_path: Path) -> None:
    common = ["--bundles", str(tmp_path), "--generator-base", str(tmp_path / "base.safetensors")]
    assert main(["setup-party", str(server), "--run", str(tmp_path / "{run}"), *common]) == 0
    assert load_party_config(server / "local", "server").generator_base == tmp_path / "base.safetensors"
    assert main(["setup-party", str(site), "--data", str(tmp_path), "--output", str(tmp_path), *common]) == 0
    assert load_party_config(site / "local", "site").generator_base is None


@pytest.mark.parametrize("lacking", ["--data", "--output"])
def test_setup_party_names_what_is_missing(site: Path, tmp_path: Path, capsys, lacking: str) -> None:
    given = {"--data": str(tmp_path), "--output": str(tmp_path), "--bundles": str(tmp_path)}
    words = [word for key, value in given.items() if key != lacking for word in (key, value)]
    assert main(["setup-party", str(site), *words]) == 2
    assert f"{lacking}: is not given" in capsys.readouterr().err


def test_policies_lie_over_the_kit(site: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "privacy.json").write_text("{}")
    copy_policies(tmp_path / "own", site)
    assert (site / "local" / "privacy.json").read_text() == "{}"
    assert (site / "local" / "resources.json.default").exists()
