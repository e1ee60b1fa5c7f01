# SPDX-License-Identifier: Apache-2.0
"""Kill everything in the middle, start the same command again: the result is that of an undisturbed run.

Equal to the last bit, generated images, distillation and error feedback included: every draw has a seed of its own,
the server computes with one thread and all that is pooled is in the order of the sites.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from dsfedmed.store.files import read_json, read_tensors
from tests.federated.conftest import ALONE, JOB, ROOT, job_command, run_command, run_job, stage_tensors

pytestmark = pytest.mark.federation


def _start(command: list[str], folder: Path) -> subprocess.Popen:
    """Start a command in a process group of its own."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, start_new_session=True, env=ALONE, cwd=folder, **quiet)


def _kill_in_round(process: subprocess.Popen, folder: Path, number: int, arm: str = "dsfedmed") -> None:
    """Kill the whole process group as soon as the store holds that round."""
    state = folder / "store" / f"arm-{arm}.json"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        if state.exists() and read_json(state)["info"]["round"] >= number:
            break
        time.sleep(0.05)
    assert process.poll() is None, "the run ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_nvflare_s_own_simulator_killed_in_round_two_and_resumed_by_job_py(federation, sites, tmp_path):
    """The first part runs by NVFlare's command on an exported job folder, the second by job.py: they are one job."""
    assert federation.code == 0, federation.output[-3000:]
    out, workspace = tmp_path / "smoke", tmp_path / "ws"
    tool = [sys.executable, "-m", "dsfedmed.cli.main", "workspace", str(workspace), "--sites", str(sites)]
    subprocess.run([*tool, "--run", str(out), "--bundles", str(ROOT / "bundles")], check=True, capture_output=True)
    job = [sys.executable, str(JOB), "--write-job", str(tmp_path / "jobs"), "--preset", "smoke"]
    subprocess.run([*job, "--unseen", "site_d", "--set", "compare.fedsam=true"], check=True, capture_output=True)
    nvflare = str(Path(sys.executable).parent / "nvflare")
    command = [nvflare, "simulator", str(tmp_path / "jobs/dsfedmed"), "-w", str(workspace), "-t", "4"]
    process = _start([*command, "-c", "site_a,site_b,site_c,site_d"], tmp_path)
    _kill_in_round(process, out, 2)
    resumed = run_job(sites, out, "--set", "compare.fedsam=true")
    assert resumed.code == 0, resumed.output[-3000:]
    assert "fit base: found finished" in resumed.output
    assert "rounds: 1/3" not in resumed.output, "round 1 was done again"
    undisturbed = stage_tensors(federation.folder, "arm-dsfedmed")
    again = stage_tensors(out, "arm-dsfedmed")
    assert undisturbed.keys() == again.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in undisturbed.items())
    branches = [path.stem for kind in ("branch", "masks") for path in (out / "store").glob(f"{kind}-*.json")]
    assert len(branches) == 6
    for stage in ("fit base", *branches):
        expected, found = stage_tensors(federation.folder, stage), stage_tensors(out, stage)
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items()), stage


OPTIONS = {
    "pfedsam": ("--set", "rounds=3", "--set", "compare.fedsam=false", "--set", "method.learning_rate=0.01"),
    "samfed": (
        *("--label-site", "site_a", "--set", "rounds=3", "--set", "method.teacher_gate=false"),
        *("--set", "method.site_bundles={site_b: light_unet_segmentation, site_c: light_flexible_unet_segmentation}"),
    ),
}


@pytest.mark.parametrize("method", OPTIONS)
def test_the_other_methods_go_on_behind_the_round_in_which_they_were_killed(method, sites, tmp_path):
    """What the sites keep to themselves included: personal branches, own networks, optimisers, agreement."""
    extra = ("--unseen", "site_d", *OPTIONS[method])
    undisturbed = run_command(job_command(sites, tmp_path / "whole", *extra, method=method), sites, tmp_path / "whole")
    assert undisturbed.code == 0, undisturbed.output[-3000:]
    command = job_command(sites, tmp_path / "killed", *extra, method=method)
    _kill_in_round(_start(command, tmp_path), tmp_path / "killed", 1, method)
    resumed = run_command(command, sites, tmp_path / "killed")
    assert resumed.code == 0, resumed.output[-3000:]
    assert "rounds: 1/3" not in resumed.output, "round 1 was done again"
    expected, found = (stage_tensors(run.folder, f"arm-{method}") for run in (undisturbed, resumed))
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    pattern = {"pfedsam": "sites/*/personal/pfedsam-*.safetensors", "samfed": "sites/*/samfed/samfed-*.safetensors"}
    kept = [path.relative_to(undisturbed.folder) for path in undisturbed.folder.glob(pattern[method])]
    assert len(kept) > 6
    for path in kept:
        mine, theirs = read_tensors(resumed.folder / path), read_tensors(undisturbed.folder / path)
        assert all(torch.equal(mine[name], tensor) for name, tensor in theirs.items()), path
