# SPDX-License-Identifier: Apache-2.0
"""NVFlare jobs: configuration only, of classes that every site allows, with one packing filter for each update task."""

from __future__ import annotations

import pytest

from dsfedmed.federated.party.run_key import run_key
from dsfedmed.federated.wire.tasks import TASKS
from dsfedmed.flare.recipe import export_job, job_files, update_tasks
from dsfedmed.methods import METHODS
from tests.runs.commands import ROOT
from tests.runs.smoke import smoke


def test_a_job_asks_for_gpus_only_when_told(tmp_path):
    export_job(smoke(), tmp_path, gpus=2)
    assert job_files(tmp_path / "dsfedmed")["meta.json"]["resource_spec"] == {"@default": {"num_of_gpus": 2}}
    assert job_files(ROOT / "jobs" / "dsfedmed")["meta.json"]["resource_spec"] == {}


def test_the_job_carries_no_code_and_names_only_allowed_classes():
    folder = ROOT / "jobs" / "dsfedmed" / "app"
    assert not (folder / "custom").exists()
    server = job_files(ROOT / "jobs" / "dsfedmed")["app/config/config_fed_server.json"]
    client = job_files(ROOT / "jobs" / "dsfedmed")["app/config/config_fed_client.json"]
    filters = [entry for chain in client["task_result_filters"] for entry in chain["filters"]]
    parts = [*server["workflows"], *server["components"], *client["components"], *filters]
    paths = [entry["path"] for entry in parts] + [entry["executor"]["path"] for entry in client["executors"]]
    assert "dsfedmed.flare.filters.PackUpdates" in paths
    assert all(path.startswith(("dsfedmed.", "nvflare.")) for path in paths)


@pytest.mark.parametrize("method", METHODS)
def test_a_job_is_its_settings_and_its_run_s_key(method, tmp_path):
    settings = smoke(method)
    folder = export_job(settings, tmp_path, name="named", method=method)
    assert folder == tmp_path / "named"
    files = job_files(folder)
    (controller,) = files["app/config/config_fed_server.json"]["workflows"]
    assert controller["path"] == "dsfedmed.flare.controller.FederatedController"
    assert controller["args"] == {"method": method, "configuration": settings.to_dict()}
    (executor,) = files["app/config/config_fed_client.json"]["executors"]
    assert executor["executor"]["args"] == {"run": run_key(settings, method)}


def test_updates_are_packed_behind_every_filter_of_a_hospital(tmp_path):
    """Every task that carries an update, and no other."""
    client = job_files(export_job(smoke(), tmp_path))["app/config/config_fed_client.json"]
    packed = [task for chain in client["task_result_filters"] for task in chain["tasks"]]
    assert packed == update_tasks() == [name for name, task in TASKS.items() if task.carries_update]
    assert "dsf_train" in packed
    assert "dsf_evaluate" not in packed


def test_what_lies_in_the_folder_besides_stays(tmp_path):
    (tmp_path / "dsfedmed").mkdir()
    (tmp_path / "dsfedmed" / "job.py").write_text("mine")
    (tmp_path / "dsfedmed" / "app" / "custom").mkdir(parents=True)
    export_job(smoke(), tmp_path)
    assert (tmp_path / "dsfedmed" / "job.py").read_text() == "mine"
    assert not (tmp_path / "dsfedmed" / "app" / "custom").exists(), "an earlier job's code is gone"
