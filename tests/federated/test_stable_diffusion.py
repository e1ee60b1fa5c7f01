# SPDX-License-Identifier: Apache-2.0
"""A whole federation whose generator is a Stable Diffusion (tiny, in the true format) with low-rank branches."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dsfedmed.exchange.tensors import byte_count
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.flare.workspace import prepare_workspace
from dsfedmed.store.files import read_json
from tests.federated.conftest import JOB, ROOT, simulate_folder, stage_tensors
from tests.generator.sd_folders import make_tiny_folder

pytestmark = pytest.mark.federation

SETTINGS = {
    "rounds": "1",
    "schedule.warmup_rounds": "0",
    "compare.fedavg": "false",
    "compare.equal_steps": "false",
    "compare.local": "false",
    "compare.teacher": "false",
    "generator_model.foundation": "stable_diffusion",
    "generator_model.lora_rank": "4",
    "generator_model.zero_rank": "4",
    "generator_model.dtype": "bfloat16",
}


def test_federation_on_a_stable_diffusion_folder(sites: Path, tmp_path: Path) -> None:
    workspace, run = tmp_path / "ws", tmp_path / "run"
    folder = make_tiny_folder(tmp_path / "sd")
    prepare_workspace(workspace, SimulatedSites(sites, run, ROOT / "bundles", generator=folder))
    options = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
    job = [sys.executable, str(JOB), "--write-job", str(tmp_path / "jobs"), "--preset", "smoke", "--unseen", "site_d"]
    subprocess.run([*job, *options], check=True, capture_output=True)
    names = ["site_a", "site_b", "site_c", "site_d"]
    _, output = simulate_folder(tmp_path / "jobs" / "dsfedmed", workspace, names, timeout=570)
    record = read_json(run / "record.json")
    assert record["verdict"] == "complete", output[-3000:]
    stages = [stage["name"] for stage in record["stages"]]
    assert "fit base" not in stages
    assert read_json(run / "store" / "fit branches.json")["info"]["sites"] == names[:3]
    branch = stage_tensors(run, "branch-site_b")
    assert any("lora_A" in name for name in branch)
    sent = [
        row
        for row in record["bytes"]["entries"]
        if row["stage"] == "fit branches" and row["direction"] == "up" and row["site"] == "site_b"
    ]
    # The base stays home: what goes up is the branch's own numbers, the masks and little else.
    assert byte_count(branch) < sent[0]["bytes"] < 1.5 * byte_count(branch) + 50_000
    assert (run / "sites" / "site_b" / "foundation.json").exists()
