# SPDX-License-Identifier: Apache-2.0
"""Committed job folders and job.py are the same jobs, and what is wrong is said before anything starts."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest

import job
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.federated.methods import workflow_of
from dsfedmed.flare.recipe import job_files
from dsfedmed.installation.shipped import job_folder
from dsfedmed.methods import METHODS
from dsfedmed.settings import Settings, read_preset
from tests.runs.commands import ROOT


@pytest.mark.parametrize("method", sorted(key for key, method in METHODS.items() if not method.job))
def test_the_committed_job_folder_is_what_job_py_writes(tmp_path, method):
    script = load_script(method)
    assert script.main(["--write-job", str(tmp_path), "--preset", "demo", "--unseen", "site_d"]) == 0
    assert job_files(tmp_path / method) == job_files(ROOT / "jobs" / method)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_preset_of_every_job_is_valid_for_its_workflow(method):
    folder = job_folder(method)
    assert folder.parent == ROOT / "jobs"
    for preset in sorted((folder / "presets").glob("*.yaml")):
        settings = Settings.from_dict(read_preset(preset), preset.name)
        workflow = workflow_of(method, settings)
        assert method == workflow.METHOD
        assert workflow.stages(settings)[0] == "check sites"


@pytest.mark.parametrize("method", ["samfed", "pfedsam"])
def test_a_wrong_option_of_the_method_stops_before_anything_runs(method, demo, tmp_path, capsys):
    words = ["--sites", str(demo), "--out", str(tmp_path / "run"), "--preset", "smoke", "--set", "method.temprature=3"]
    assert load_script(method).main(words) == 2
    said = capsys.readouterr().err
    assert "temprature" in said
    assert "temperature" in said
    assert not (tmp_path / "run").exists()


def load_script(method: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"job_{method}", ROOT / "jobs" / method / "job.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("job") / "sites"
    make_demo_sites(folder, seed=1, training=2, validation=2, test=1)
    return folder


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--preset", "nonsense"], ["nonsense", "cpu", "demo"]),
        (["--set", "schedule.evry=5"], ["evry", "interval_rounds"]),
        (["--set", "rounds"], ["key=value"]),
        (["--unseen", "site_z"], ["site_z", "site_a"]),
        (["--set", "min_sites=9"], ["min_sites"]),
        (["--set", "light_settings.learning_rat=0.1"], ["learning_rat", "learning_rate"]),
        (["--set", "light_settings.network_def::channels=[8]"], ["network_def::channels", "'channels'"]),
        (["--set", "light_overrides.learning_rate=0.1"], ["light_overrides", "light_settings"]),
    ],
)
def test_a_wrong_word_on_the_command_line_is_named_with_its_fix(demo, tmp_path, capsys, arguments, words):
    code = job.main(["--sites", str(demo), "--out", str(tmp_path / "run"), "--preset", "smoke", *arguments])
    said = capsys.readouterr().err
    assert code == 2
    assert all(word in said for word in words), said


def test_a_folder_without_sites_is_refused(tmp_path, capsys):
    assert job.main(["--sites", str(tmp_path), "--out", str(tmp_path / "run"), "--preset", "smoke"]) == 2
    assert "datalist.json" in capsys.readouterr().err


def test_a_site_with_a_damaged_image_stops_the_run_before_it_starts(demo, tmp_path, capsys):
    sites = tmp_path / "sites"
    shutil.copytree(demo, sites)
    image = next((sites / "site_b" / "images").iterdir())
    image.write_bytes(image.read_bytes()[:60])
    code = job.main(["--sites", str(sites), "--out", str(tmp_path / "run"), "--preset", "smoke", "--unseen", "site_d"])
    said = capsys.readouterr().err
    assert code == 2
    assert image.name in said
    assert "site_b" in said
    assert not (tmp_path / "run" / "store").exists()
