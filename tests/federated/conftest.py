# SPDX-License-Identifier: Apache-2.0
"""A complete small federation through NVFlare's simulator, run once for all tests that look at its results."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from torch import Tensor

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.store.files import read_json, read_tensors

ROOT = Path(__file__).resolve().parents[2]
JOB = ROOT / "jobs" / "dsfedmed" / "job.py"
ALONE = os.environ | {"OMP_NUM_THREADS": "1"}
"""Environment of a process among several: one thread each."""


@dataclass(frozen=True)
class Run:
    """A finished command and its run folder."""

    folder: Path
    sites: Path
    code: int
    output: str


def job_command(sites: Path, out: Path, *extra: str, method: str = "dsfedmed") -> list[str]:
    """Return the command of a method's smoke preset, as a user writes it."""
    job = ROOT / "jobs" / method / "job.py"
    return [sys.executable, str(job), "--sites", str(sites), "--preset", "smoke", "--out", str(out), *extra]


def run_job(sites: Path, out: Path, *extra: str, timeout: float = 400, unseen: tuple[str, ...] = ("site_d",)) -> Run:
    """Run job.py with the smoke preset as a user does, in a process of its own."""
    held_out = [word for site in unseen for word in ("--unseen", site)]
    return run_command(job_command(sites, out, *held_out, *extra), sites, out, timeout)


def run_command(command: list[str], sites: Path, out: Path, timeout: float = 400) -> Run:
    """Run a job's command to its end."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env=ALONE, cwd=out.parent, check=False
    )
    return Run(out, sites, done.returncode, done.stdout + done.stderr)


def stage_tensors(folder: Path, stage: str) -> dict[str, Tensor]:
    """Return what a run's stage store holds of a stage."""
    name = read_json(folder / "store" / f"{stage}.json")["file"]
    return read_tensors(folder / "store" / name)


def simulate_folder(job: Path, workspace: Path, names: list[str], timeout: float = 400) -> tuple[int, str]:
    """Run a job folder with NVFlare's own simulator command."""
    nvflare = str(Path(sys.executable).parent / "nvflare")
    done = subprocess.run(
        [nvflare, "simulator", str(job), "-w", str(workspace), "-c", ",".join(names), "-t", str(len(names))],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=ALONE,
        cwd=workspace,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four made-up sites."""
    folder = tmp_path_factory.mktemp("sites") / "demo"
    make_demo_sites(folder, seed=0, training=12, validation=12, test=6)
    return folder


@pytest.fixture(scope="session")
def federation(sites: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An undisturbed run of the whole workflow, FedSAM included."""
    out = tmp_path_factory.mktemp("federation") / "smoke"
    asked = [
        word for name in ("fedsam", "fedmsa", "fedprox", "centralised") for word in ("--set", f"compare.{name}=true")
    ]
    return run_job(sites, out, *asked)
