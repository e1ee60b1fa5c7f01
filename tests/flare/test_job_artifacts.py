# SPDX-License-Identifier: Apache-2.0
"""What goes to NVFlare's run folder, which a researcher can download, and what stays at the server."""

from __future__ import annotations

from pathlib import Path

from dsfedmed.flare.job_artifacts import export_artifacts
from dsfedmed.store.files import read_json


def _run(folder: Path) -> Path:
    for name in ("record.json", "report.html", "store/branch-a.safetensors", "release/models/model.pt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_report_and_release_are_copied_branches_are_not(tmp_path: Path) -> None:
    target = export_artifacts(_run(tmp_path / "run"), tmp_path / "job")
    found = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert found == {"record.json", "report.html", "release/models/model.pt"}
    named = read_json(tmp_path / "job" / "artifact_manifest.json")["artifacts"]["global_model"]
    assert (tmp_path / "job" / named).read_text() == "release/models/model.pt"


def test_a_second_time_replaces_the_first(tmp_path: Path) -> None:
    run = _run(tmp_path / "run")
    export_artifacts(run, tmp_path / "job")
    (run / "record.json").write_text("newer")
    assert (export_artifacts(run, tmp_path / "job") / "record.json").read_text() == "newer"


def test_a_run_inside_the_job_s_folder_is_not_copied_onto_itself(tmp_path: Path) -> None:
    run = _run(tmp_path / "job" / "dsfedmed")
    assert export_artifacts(run, tmp_path / "job") == run
    assert (tmp_path / "job" / "artifact_manifest.json").exists()


def test_an_unfinished_run_names_no_model(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    export_artifacts(tmp_path / "run", tmp_path / "job")
    assert not (tmp_path / "job" / "artifact_manifest.json").exists()
