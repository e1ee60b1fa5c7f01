# SPDX-License-Identifier: Apache-2.0
"""``kill -9`` of the command that a user typed: the whole federation ends, and the same command goes on behind it."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import yaml

from dsfedmed.settings import merge, read_preset
from tests.runs.commands import ROOT, job_command, run_job
from tests.runs.killing import start
from tests.runs.tiny import NOTHING, TINY

PATIENCE_S, SOON_S = 300.0, 10.0


def of_run(out: Path) -> list[psutil.Process]:
    """Return the processes that name the run folder on their command line: the federation, wherever NVFlare put it."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if process.pid != os.getpid() and str(out) in " ".join(process.info["cmdline"] or ()):
            found.append(process)
    return found


@pytest.mark.federation
@pytest.mark.slow
def test_a_killed_job_leaves_no_process_and_the_same_command_finishes_it(sites: Path, tmp_path: Path) -> None:
    values = merge(read_preset(ROOT / "jobs" / "dsfedmed" / "presets" / "smoke.yaml"), {**TINY, "compare": NOTHING})
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(values))
    out = tmp_path / "run"
    preset = ("--preset", str(tmp_path / "tiny.yaml"))
    killed = start(job_command(sites, out, *preset, "--unseen", "site_d"), tmp_path)
    _wait_for(out / "store" / "fit base.json", killed)
    assert len(of_run(out)) > 4, "the command, the server's processes, four sites and their workers"
    killed.kill()
    killed.wait()
    end = time.monotonic() + SOON_S
    while of_run(out) and time.monotonic() < end:
        time.sleep(0.1)
    assert not [process.cmdline() for process in of_run(out)]
    again = run_job(sites, out, *preset)
    assert again.code == 0, again.output[-3000:]
    assert f"taken over from process {killed.pid} since " in again.output
    assert "fit base: already finished" in again.output


def _wait_for(entry: Path, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not entry.exists() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.02)
    assert process.poll() is None, "the run ended before it could be killed"
    assert entry.exists()
