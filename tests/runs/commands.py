# SPDX-License-Identifier: Apache-2.0
"""Runs by the commands that a user types, in real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = ROOT / "bundles"
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


def run_job(sites: Path, out: Path, *extra: str, timeout: float = 400, unseen: Sequence[str] = ("site_d",)) -> Run:
    """Run job.py with the smoke preset as a user does, in a process of its own."""
    held_out = [word for site in unseen for word in ("--unseen", site)]
    return run_command(job_command(sites, out, *held_out, *extra), sites, out, timeout)


def run_command(command: Sequence[str], sites: Path, out: Path, timeout: float = 400) -> Run:
    """Run a job's command to its end."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env=ALONE, cwd=out.parent, check=False
    )
    return Run(out, sites, done.returncode, done.stdout + done.stderr)


def simulator_command(job: Path, workspace: Path, names: Sequence[str]) -> list[str]:
    """Return NVFlare's own command for a job folder."""
    nvflare = str(Path(sys.executable).parent / "nvflare")
    words = [str(job), "-w", str(workspace), "-c", ",".join(names), "-t", str(len(names))]
    return [nvflare, "simulator", *words]


def simulate_folder(job: Path, workspace: Path, names: Sequence[str], timeout: float = 400) -> tuple[int, str]:
    """Run a job folder with NVFlare's own simulator command; return its exit status and what it printed."""
    command = simulator_command(job, workspace, names)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env=ALONE, cwd=workspace, check=False
    )
    return done.returncode, done.stdout + done.stderr
