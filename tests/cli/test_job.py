# SPDX-License-Identifier: Apache-2.0
"""The command of a job folder: old options and run folders of version 0.3 are refused, and left as they are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.cli.job import RENAMED, planned_settings, run_job
from dsfedmed.cli.job.command import refuse_damaged_sites
from dsfedmed.cli.main import main
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import ConfigError, DataError, StoreError
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.finished_run import FinishedRun
from dsfedmed.settings import Settings
from dsfedmed.store.files import write_json, write_text
from dsfedmed.store.stage_store import config_hash
from tests.runs.smoke import unlabelled_copy

JOB = Path(__file__).resolve().parents[2] / "jobs" / "dsfedmed"
SOURCES = ["site_a", "site_b", "site_c"]
MADE_BY_0_3 = "made by version 0.3"


def settings_of_0_3() -> dict[str, Any]:
    """Settings as version 0.3 wrote them: the same keys but for those that were renamed."""
    values = Settings.from_dict({"preset": "smoke", "unseen": ["site_d"]}).to_dict()
    timeouts, schedule = values.pop("timeouts"), values["schedule"]
    schedule |= {"every": schedule.pop("interval_rounds"), "at": schedule.pop("distil_at")}
    values["waits"] = {
        "task_s": timeouts["task_s"],
        "after_enough_s": timeouts["straggler_grace_s"],
        "after_absence_s": timeouts["returning_grace_s"],
    }
    return values


@pytest.fixture
def old_run(tmp_path: Path, sites: Path) -> Path:
    """A finished run folder in the form of version 0.3, without its tensors."""
    run = tmp_path / "old"
    config = {"method": "dsfedmed", "settings": settings_of_0_3(), "sites": SOURCES}
    write_json(run / "store" / "config.json", {"hash": config_hash(config), "config": config})
    for stage in ("teacher start", "light start", "fit base", "fit branches"):
        write_json(run / "store" / f"{stage}.json", {"info": {"sha256": None}, "tensors": None, "file": None})
    record = {
        "name": "old",
        "method": "dsfedmed",
        "seed": 0,
        "verdict": "complete",
        "config": config["settings"],
        "sites": SOURCES,
        "unseen": ["site_d"],
        "versions": {"dsfedmed": "0.3.0", "torch": "2.14.1"},
        "facts": {},
        "events": [],
        "stages": [],
        "bytes": {"entries": []},
    }
    write_json(run / "record.json", record)
    write_text(run / "nvflare" / "dsfedmed" / "local" / "dsfedmed.yaml", f"data: {sites.resolve()}/{{site}}\n")
    write_text(run / "report.html", "the report of version 0.3")
    return run


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job") / "sites"
    make_demo_sites(folder, seed=1, training=2, validation=2, test=1)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run_smoke(sites: Path, out: Path, *words: str) -> int:
    given = ["--sites", str(sites), "--unseen", "site_d", "--preset", "smoke", "--out", str(out), *words]
    return run_job("dsfedmed", JOB, "", given)


def test_a_run_of_0_3_is_not_resumed(old_run: Path, sites: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(old_run)
    assert run_smoke(sites, old_run) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"job.py: {old_run}: {MADE_BY_0_3}")
    assert "Start a new run folder" in said
    assert files(old_run) == before


def test_a_run_of_0_3_is_not_reused(
    old_run: Path, sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(old_run)
    assert run_smoke(sites, tmp_path / "new", "--reuse", str(old_run)) == 2
    assert f"{old_run}: {MADE_BY_0_3}" in capsys.readouterr().err
    assert files(old_run) == before
    assert not (tmp_path / "new").exists()


def test_a_run_of_0_3_is_not_reported(old_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(old_run)
    assert main(["report", str(old_run)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"dsfedmed: {old_run / 'record.json'}: {MADE_BY_0_3}")
    assert "Start a new run folder" in said
    assert files(old_run) == before


def test_a_run_of_0_3_is_not_opened_for_its_generator(old_run: Path, sites: Path) -> None:
    with pytest.raises(StoreError, match=MADE_BY_0_3):
        FinishedRun.open(old_run, sites, PartyConfig())


def test_a_record_of_0_3_without_its_store_is_not_resumed_either(
    old_run: Path, sites: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its events and curves would be mixed with those of the new run."""
    for path in (old_run / "store").iterdir():
        path.unlink()
    assert run_smoke(sites, old_run) == 2
    assert MADE_BY_0_3 in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--from", "runs/first"], ["--from=runs/first"], ["--from"]])
def test_an_old_option_is_refused_with_the_new_one(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert RENAMED == {"--from": "--reuse"}
    assert run_job("dsfedmed", JOB, "", words) == 2
    assert capsys.readouterr().err == "job.py: --from: renamed to `--reuse` in 0.4. Write `--reuse`\n"


def test_an_old_setting_on_the_command_line_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_job("dsfedmed", JOB, "", ["--preset", "smoke", "--set", "schedule.every=5"]) == 2
    assert "--set schedule.every: renamed to `schedule.interval_rounds` in 0.4" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"renamed to `timeouts\.task_s`"):
        planned_settings("dsfedmed", JOB, ["--set", "waits.task_s=5"])


def test_the_words_of_the_command_line_come_over_the_preset() -> None:
    words = ["--preset", "smoke", "--set", "rounds=7", "--seed", "3", "--unseen", "a", "--unseen", "b"]
    planned = planned_settings("dsfedmed", JOB, words)
    assert (planned.preset, planned.rounds, planned.seed, planned.unseen) == ("smoke", 7, 3, ("a", "b"))
    assert planned.method == {}
    labelled = planned_settings("samfed", JOB.parent / "samfed", ["--preset", "smoke", "--label-site", "site_a"])
    assert labelled.method["label_site"] == "site_a"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "generator.base: is `given`, and the server has no file of a base"),
        (["--generator-base", "none.safetensors"], "none.safetensors: there is no such file"),
        (["--set", "generator_model.base=stable_diffusion"], "--set generator.base: `given` is of the embedded"),
    ],
)
def test_a_given_base_that_is_not_there_is_said_before_an_image_is_read(
    sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert run_smoke(sites, tmp_path / "run", "--set", "generator.base=given", *words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"job.py: {said}")
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_training_image_in_the_test_part_stops_the_run(sites: Path, tmp_path: Path) -> None:
    names = sorted(path.parent.name for path in sites.glob("*/datalist.json"))
    folders = {name: name for name in names}
    refuse_damaged_sites(sites, folders)
    shutil.copytree(sites, tmp_path / "sites")
    site = tmp_path / "sites" / names[0]
    shutil.copy(site / "images/training_0000.png", site / "images/test_0000.png")
    with pytest.raises(DataError, match=f"{names[0]}: 1 error, listed above"):
        refuse_damaged_sites(tmp_path / "sites", folders)


def test_sam_fed_s_sites_need_no_labels_to_train_with(
    sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`dsfedmed run samfed` refused the very sites that it is for."""
    folders = {name: name for name in ("site_a", "site_b")}
    unlabelled = unlabelled_copy(sites, tmp_path / "sites", ("site_b",))
    refuse_damaged_sites(unlabelled, folders, labelled=False)
    with pytest.raises(DataError, match="site_b: 1 error, listed above"):
        refuse_damaged_sites(unlabelled, folders)
    assert "images have no label" in capsys.readouterr().err
