# SPDX-License-Identifier: Apache-2.0
"""NVFlare jobs: configuration only, of classes that every site allows, with one packing filter for each update task."""

from __future__ import annotations

import pytest
from nvflare.app_common.default_component_policy import DEFAULT_CLASS_ALLOW_LIST

from dsfedmed.federated.party.run_key import run_key
from dsfedmed.federated.wire.tasks import TASKS
from dsfedmed.flare.recipe import export_job, job_files, update_tasks
from dsfedmed.flare.workspace import SERVER_CLASSES, SITE_CLASSES
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
    assert set(paths) <= {*DEFAULT_CLASS_ALLOW_LIST, *SITE_CLASSES, *SERVER_CLASSES}


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


@pytest.mark.parametrize("method", METHODS)
def test_updates_are_packed_behind_every_filter_of_a_hospital(method, tmp_path):
    """Every task of the method that carries an update, and no other."""
    client = job_files(export_job(smoke(method), tmp_path, method=method))["app/config/config_fed_client.json"]
    packed = [task for chain in client["task_result_filters"] for task in chain["tasks"]]
    assert packed == update_tasks(method)
    assert set(packed) == {task.name for task in METHODS[method].load().UPDATES}
    assert all(TASKS[task].carries_update for task in packed)


def test_every_task_that_carries_an_update_is_packed_by_some_method():
    packed = {task for method in METHODS for task in update_tasks(method)}
    assert packed == {name for name, task in TASKS.items() if task.carries_update}


def test_what_lies_in_the_folder_besides_stays(tmp_path):
    (tmp_path / "dsfedmed").mkdir()
    (tmp_path / "dsfedmed" / "job.py").write_text("mine")
    (tmp_path / "dsfedmed" / "app" / "custom").mkdir(parents=True)
    export_job(smoke(), tmp_path)
    assert (tmp_path / "dsfedmed" / "job.py").read_text() == "mine"
    assert not (tmp_path / "dsfedmed" / "app" / "custom").exists(), "an earlier job's code is gone"
