# SPDX-License-Identifier: Apache-2.0
"""Every method has a workflow, a job folder, and a job that packs its updates."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.tasks import LOCAL_LAYERS, TRAIN
from dsfedmed.flare.recipe import export_job, job_files, update_tasks
from dsfedmed.methods import METHODS
from dsfedmed.settings import read_run
from tests.federated.tiny import ROOT


def presets_of(method: str) -> Path:
    return ROOT / "jobs" / (METHODS[method].job or method) / "presets"


@pytest.mark.parametrize("method", METHODS)
def test_its_job_folder_is_what_its_script_writes_and_packs_its_updates_only(method: str, tmp_path: Any) -> None:
    workflow = METHODS[method].load()
    assert method == workflow.METHOD
    settings = read_run("demo", presets=presets_of(method), unseen=["site_d"])
    files = job_files(export_job(settings, tmp_path, method=method))
    if not METHODS[method].job:
        assert files == job_files(ROOT / "jobs" / method)
    client = files["app/config/config_fed_client.json"]
    packed = [task for chain in client["task_result_filters"] for task in chain["tasks"]]
    assert packed == update_tasks(method)
    assert set(packed) == {task.name for task in workflow.UPDATES}
    assert all(task.carries_update for task in workflow.UPDATES)


@pytest.mark.parametrize("preset", ["smoke", "demo", "cpu"])
@pytest.mark.parametrize("method", METHODS)
def test_its_presets_are_settings_of_its_workflow(method: str, preset: str) -> None:
    settings = read_run(preset, presets=presets_of(method), unseen=["site_d"])
    stages = METHODS[method].load()(settings).stages(settings)
    assert (stages[0], stages[-1]) == ("check sites", "release")


def test_an_update_that_its_job_would_not_pack_is_not_asked_for() -> None:
    flow = cast(FederatedWorkflow, SimpleNamespace(UPDATES=(TRAIN,)))
    with pytest.raises(ValueError, match="lacks dsf_local_layers"):
        FederatedWorkflow.ask(flow, LOCAL_LAYERS, cast(Any, Envelope(None)))
