# SPDX-License-Identifier: Apache-2.0
"""The job as separate processes: its weights are the simulator's to the last bit, and only what may be fetched is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsfedmed.cli.main import main
from dsfedmed.store.files import read_json
from tests.flare.deployment.conftest import ALONE, HOSPITALS, SMOKE, Hospitals, smoke
from tests.runs.commands import run_job
from tests.runs.stored import stage_tensors

pytestmark = pytest.mark.deployment


@pytest.fixture(scope="module")
def fetched(hospitals: Hospitals) -> Path:
    """The results of the smoke federation, submitted, watched and fetched by the command a user types."""
    work = str(hospitals.poc.work)
    compare = [word for name in ALONE for word in ("--set", f"compare.{name}=false")]
    assert main(["poc", "submit", "--work", work, "--preset", str(SMOKE), *compare]) == 0
    assert main(["poc", "watch", "--work", work, "--hours", "0.1"]) == 0
    assert main(["poc", "fetch", "--work", work]) == 0
    return hospitals.poc.results


def test_every_party_is_a_process_of_its_own_with_the_run_complete(hospitals: Hospitals, fetched: Path) -> None:
    from dsfedmed.flare.deployment.parties import party_processes

    parties = [party_processes(hospitals.poc.kit(name), "party") for name in ("server", *HOSPITALS)]
    assert [len(processes) for processes in parties] == [1, 1, 1]
    assert read_json(fetched / "record.json")["verdict"] == "complete"


def test_the_weights_are_the_simulator_s_to_the_last_bit(hospitals: Hospitals, fetched: Path, tmp_path: Path) -> None:
    compare = [word for name in ALONE for word in ("--set", f"compare.{name}=false")]
    out = tmp_path / "simulated"
    command = run_job(hospitals.data, out, *compare, unseen=())
    assert command.code == 0, command.output[-3000:]
    ours, theirs = hospitals.folder(smoke()), out
    for stage in ("fit base", "branch-site_a", "branch-site_b", "adapt teacher", "distillation", "training-dsfedmed"):
        expected, found = stage_tensors(theirs, stage), stage_tensors(ours, stage)
        assert expected.keys() == found.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items()), stage
    release = "release/models/model.pt"
    weights, simulated = (torch.load(folder / release, weights_only=True) for folder in (fetched, out))
    assert all(torch.equal(weights[name], tensor) for name, tensor in simulated.items())


def test_what_is_fetched_holds_report_and_release_and_no_branch(hospitals: Hospitals, fetched: Path) -> None:
    assert {"record.json", "results.json", "report.html", "release"} <= {path.name for path in fetched.iterdir()}
    download = next(hospitals.poc.work.glob("downloads/*/workspace"))
    manifest = read_json(download / "artifact_manifest.json")
    assert (download / manifest["artifacts"]["global_model"]).exists()
    names = {path.name for path in download.rglob("*") if path.is_file()}
    assert not [name for name in names if "branch" in name or name.endswith(".safetensors")]


def test_no_path_and_no_file_name_of_a_hospital_reaches_the_server(hospitals: Hospitals, fetched: Path) -> None:
    case_names = {path.stem for site in HOSPITALS for path in (hospitals.data / site / "images").iterdir()}
    logs = sorted(hospitals.poc.kit("server").rglob("log*.txt"))
    assert logs
    kept = "".join(path.read_text() for path in [fetched / "record.json", *logs])
    assert str(hospitals.data) not in kept
    assert not [name for name in case_names if name in kept]
