# SPDX-License-Identifier: Apache-2.0
"""Kill everything in the middle, start the same run again: the result is that of an undisturbed run.

Equal to the last bit, generated images, distillation and error feedback included: every draw has a seed of its own,
the server computes with one thread and all that is pooled is in the order of the sites. The other methods, killed on
the local transport: ``tests/federated/local/test_resume.py``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed.cli.job import run_job as job_command
from dsfedmed.cli.main import main
from dsfedmed.federated.party.layout import site_names
from tests.runs.commands import BUNDLES, ROOT, run_job, simulator_command
from tests.runs.killing import kill_in_round, start
from tests.runs.recording import Recording
from tests.runs.stored import assert_same_stages

CHANGES = tuple(
    word for key in ("compare.fedsam=true", "refit.steps=2", "schedule.joint_weight=0.5") for word in ("--set", key)
)
"""What decides the rounds of the whole run (`tests.runs.smoke.WHOLE`): the server's repair and joint steps."""


@pytest.mark.federation
def test_nvflare_s_own_simulator_killed_in_round_two_and_resumed_by_job_py(
    dsfedmed_over_nvflare: Recording, sites: Path, tmp_path: Path
) -> None:
    """The first part runs by NVFlare's command on an exported job folder, the second by job.py: they are one job."""
    out, workspace = tmp_path / "smoke", tmp_path / "ws"
    laid_out = ["workspace", str(workspace), "--sites", str(sites), "--run", str(out), "--bundles", str(BUNDLES)]
    assert main(laid_out) == 0
    words = ["--write-job", str(tmp_path / "jobs"), "--preset", "smoke", "--unseen", "site_d", *CHANGES]
    assert job_command("dsfedmed", ROOT / "jobs" / "dsfedmed", "", words) == 0
    killed = start(simulator_command(tmp_path / "jobs" / "dsfedmed", workspace, site_names(sites)), tmp_path)
    kill_in_round(killed, out, 2, "dsfedmed")
    resumed = run_job(sites, out, *CHANGES)
    assert resumed.code == 0, resumed.output[-3000:]
    assert "fit base: already finished" in resumed.output
    assert "rounds: 3/3" in resumed.output
    assert "rounds: 1/3" not in resumed.output, "round 1 was done again"
    branches = sorted(path.stem for kind in ("branch", "masks") for path in (out / "store").glob(f"{kind}-*.json"))
    assert len(branches) == 6
    assert_same_stages(dsfedmed_over_nvflare.run, out, ("fit base", *branches, "training-dsfedmed"))
