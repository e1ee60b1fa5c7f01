# SPDX-License-Identifier: Apache-2.0
"""NVFlare is one adapter: without it the federation imports whole, and every method runs to a release."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.methods import METHODS
from dsfedmed.store.files import read_json
from tests.architecture.source import CUSTOM, ROOT
from tests.runs.tiny import NOTHING, TINY

BLOCKED = """
import importlib, json, pkgutil, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "nvflare":
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Blocker())
"""
IMPORT_ALL = """
import dsfedmed.federated
found = pkgutil.walk_packages(dsfedmed.federated.__path__, "dsfedmed.federated.", onerror=lambda name: sys.exit(name))
names = [module.name for module in found]
for name in names:
    importlib.import_module(name)
print(json.dumps(names))
"""
RUN_JOBS = """
from pathlib import Path
from dsfedmed.cli.job import run_job
for method, words in json.loads(sys.argv[1]).items():
    assert run_job(method, Path(sys.argv[2]) / method, "", words) == 0, method
assert not [name for name in sys.modules if name.startswith("nvflare")]
"""
SMALLEST = {**TINY, "unseen": ["site_c"], "compare": NOTHING, "min_sites": 1}
OPTIONS: dict[str, dict[str, Any]] = {
    "pfedsam": {"method": {"warmup_rounds": 0}},
    "silobn": {"light": {"batch_size": 4, "bundle": "light_flexible_unet_segmentation"}},
    **{method: {"method": {"public_epochs": 1}} for method, entry in METHODS.items() if entry.public},
    "samfed": {"method": {"public_epochs": 1, "ramp_rounds": 1}},
    "lssl": {"method": {"public_epochs": 1}, "light": {**TINY["light"], "bundle": "light_assessed_unet_segmentation"}},
}
WORDS: dict[str, list[str]] = {
    "feddg": ["--send-amplitudes"],
    **{method: ["--label-site", "site_a"] for method, entry in METHODS.items() if entry.public},
}
"""What a method needs besides, in its settings and on its command line; a new one that needs more is entered here."""


def blocked(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process that has no NVFlare."""
    environment = os.environ | {"PYTHONPATH": str(CUSTOM), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", BLOCKED + program, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, env=environment, check=False)


def test_the_federation_imports_whole() -> None:
    done = blocked(IMPORT_ALL)
    assert done.returncode == 0, done.stderr[-2000:]
    names = json.loads(done.stdout.splitlines()[-1])
    expected = [path for path in (CUSTOM / "dsfedmed" / "federated").rglob("*.py") if path.name != "__init__.py"]
    assert len([name for name in names if not _is_package(name)]) == len(expected)


def test_nvflare_is_really_away() -> None:
    done = blocked("import dsfedmed.flare.controller")
    assert done.returncode != 0
    assert "is not installed here" in done.stderr


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of every method by its job's own command, all in one process without NVFlare."""
    folder = tmp_path_factory.mktemp("without_nvflare")
    make_demo_sites(folder / "sites", 0, ("site_a", "site_b", "site_c"), training=4, validation=8, test=1)
    words = {}
    for method in METHODS:
        preset = folder / f"{method}.yaml"
        preset.write_text(yaml.safe_dump({**SMALLEST, **OPTIONS.get(method, {})}), encoding="utf-8")
        given = ["--engine", "local", "--preset", str(preset), "--sites", str(folder / "sites")]
        words[method] = [*given, "--out", str(folder / method), *WORDS.get(method, [])]
    done = blocked(RUN_JOBS, json.dumps(words), str(ROOT / "jobs"))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    (folder / "console.txt").write_text(done.stdout, encoding="utf-8")
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_to_a_release(method: str, runs: Path) -> None:
    assert read_json(runs / method / "record.json")["verdict"] == "complete"
    assert (runs / method / "release" / "models" / "model.pt").is_file()
    assert (runs / method / "report.html").is_file()
    assert not (runs / method / "nvflare").exists()


def test_the_console_shows_progress_and_the_summary(runs: Path) -> None:
    lines = (runs / "console.txt").read_text(encoding="utf-8").splitlines()
    assert any("check sites: started" in line for line in lines)
    assert any(line.startswith("dsfedmed: complete (preset dsfedmed, seed 0") for line in lines)


def _is_package(name: str) -> bool:
    return (CUSTOM / Path(*name.split(".")) / "__init__.py").is_file()
