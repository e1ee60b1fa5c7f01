# SPDX-License-Identifier: Apache-2.0
"""The wheel is the product: it holds the repository's folders, and runs a federation outside any checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from dsfedmed.installation.shipped import FOLDERS
from dsfedmed.version import VERSION
from tests.runs.tiny import NOTHING, TINY

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = "dsfedmed/shipped_files/"
PROGRAM = """
import json, sys
from pathlib import Path
from dsfedmed.cli.main import main
from dsfedmed.installation.shipped import FOLDERS, shipped

installed = Path(sys.argv[1])
assert all(shipped(name).is_relative_to(installed) for name in FOLDERS)
for words in json.loads(sys.argv[2]):
    assert main(words) == 0, words
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def tracked(folder: str) -> set[str]:
    """Return the files of a top-level folder that the repository holds; all that are there where it is none."""
    listed = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    found = listed.split("\n") if listed else [str(p.relative_to(ROOT)) for p in (ROOT / folder).rglob("*")]
    return {name for name in found if name and (ROOT / name).is_file() and "__pycache__" not in name}


def test_the_wheel_holds_the_repository_s_folders(built: Path) -> None:
    (wheel,) = built.glob(f"dsfedmed-{VERSION}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name.removeprefix(SHIPPED) for name in archive.namelist() if name.startswith(SHIPPED)}
        for name in held:
            assert archive.read(SHIPPED + name) == (ROOT / name).read_bytes(), name
        package = {name for name in archive.namelist() if name.startswith("dsfedmed/") and not name.startswith(SHIPPED)}
    wanted = set().union(*map(tracked, FOLDERS))
    assert held == {name for name in wanted if not (name.startswith("jobs/") and name.endswith("/job.py"))}
    assert package == {name.removeprefix("custom/") for name in tracked("custom/dsfedmed")}


def test_a_wheel_can_be_built_of_the_source_archive(built: Path, tmp_path: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=tmp_path / f"dsfedmed-{VERSION}", check=True, capture_output=True)
    (ours,), (theirs,) = built.glob("*.whl"), tmp_path.glob("*.whl")
    with zipfile.ZipFile(ours) as first, zipfile.ZipFile(theirs) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())


def test_it_runs_a_federation_outside_any_checkout(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    installed = tmp_path / "site-packages"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(installed)]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    preset = tmp_path / "tiny.yaml"
    preset.write_text(yaml.safe_dump({**TINY, "compare": NOTHING, "min_sites": 1}), encoding="utf-8")
    small = ["--training", "4", "--validation", "8", "--test", "1"]
    engine = ["--preset", str(preset), "--engine", "local", "--unseen", "site_b"]
    commands = [
        ["demo-sites", "sites", "--sites", "site_a", "site_b", *small],
        ["run", "fedbn", "--sites", "sites", *engine, "--out", "run"],
        ["check-bundle", "run/release", "--weights"],
        ["predict", "run", "sites/site_b/images", "--out", "masks"],
        ["export-job", "dsfedmed", "jobs", "--preset", "smoke", "--unseen", "site_b"],
    ]
    environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-c", PROGRAM, str(installed), json.dumps(commands)]
    done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Next:" in done.stdout
    assert (tmp_path / "run" / "report.html").exists()
    assert list((tmp_path / "masks").glob("*_mask.png"))
    assert (tmp_path / "masks" / "areas.csv").exists()
    job = json.loads((tmp_path / "jobs" / "dsfedmed" / "app" / "config" / "config_fed_server.json").read_text())
    assert job["workflows"][0]["id"] == "dsfedmed"
