# SPDX-License-Identifier: Apache-2.0
"""The few-rounds command: generators first, then grids with one seed, then the chosen points with the others."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.cli.job import planned_settings
from dsfedmed.federated.methods import workflow_of
from dsfedmed.methods import METHODS
from dsfedmed.store.files import write_json
from dsfedmed_benchmarks.cli import main
from dsfedmed_benchmarks.commands import few_rounds
from dsfedmed_benchmarks.commands.few_rounds import Comparison
from dsfedmed_benchmarks.studies.tuned.arms import read_arms
from tests.benchmarks.studies.runs import case

JOB = Path(__file__).parents[3] / "jobs" / "dsfedmed"
ARMS = """
set: {refit: {steps: 0}}
generator: {rounds: 1}
arms:
  - {key: fedavg, name: FedAvg, kind: baseline, grid: [{light: {batch_size: 8}}, {light: {batch_size: 4}}]}
  - {key: refit, name: Refit, set: {refit: {steps: 3}}}
  - {key: shot, name: One shot, rounds: [0], set: {schedule: {head_start_steps: 2}}}
"""


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    for name in ("a", "b", "c"):
        write_json(tmp_path / "sites" / name / "datalist.json", {})
    (tmp_path / "arms.yaml").write_text(ARMS)
    return ["few-rounds", "--sites", str(tmp_path / "sites"), "--out", str(tmp_path / "out"), "--seeds", "0", "1",
            "--arms", str(tmp_path / "arms.yaml"), "--unseen", "c", "--rounds", "5"]  # fmt: skip


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stand-in for the jobs; smaller batches validate better, and every run tests as it validates."""
    done: list[list[str]] = []

    def run(command: list[str], **_: Any) -> None:
        done.append(command)
        out = Path(command[command.index("--out") + 1])
        settings = planned_settings("dsfedmed", JOB, command[2:])
        dice = 0.5 + (0.2 if settings.refit.steps else 0.0) - 0.01 * settings.light.batch_size
        config = settings.to_dict()
        cases = {site: [case(dice)] for site in ("a", "b", "c")}
        record = {"name": out.name, "sites": ["a", "b"], "unseen": ["c"], "verdict": "complete", "method": "dsfedmed",
                  "seed": settings.seed, "cases": {"dsfedmed": cases}, "config": config,
                  "selected": {"dsfedmed": {"validation_dice": dice, "round": 1}},
                  "budgets": {"dsfedmed": {"local_steps": 9}}}  # fmt: skip
        write_json(out / "record.json", record)

    monkeypatch.setattr(subprocess, "run", run)
    return done


def _names(commands: list[list[str]]) -> list[str]:
    return [Path(c[c.index("--out") + 1]).name for c in commands]


def test_points_are_chosen_with_the_first_seed_and_used_for_all(
    words: list[str], commands: list[list[str]], tmp_path: Path
) -> None:
    assert main(words) == 0
    assert _names(commands) == [
        "generator-c-0", "fedavg-c-r5-p0-0", "fedavg-c-r5-p1-0", "refit-c-r5-p0-0",
        "generator-c-1", "fedavg-c-r5-p1-1", "refit-c-r5-p0-1",
    ]  # fmt: skip
    sources = [Path(c[c.index("--reuse") + 1]).name for c in commands if "--reuse" in c]
    assert sources == ["generator-c-0"] * 3 + ["generator-c-1"] * 2
    table = (tmp_path / "out" / "few_rounds.md").read_text()
    assert "| Refit, 5 | FedAvg, 5 | +8.0 ± 0.0 | +8.0 ± 0.0 |" in table
    assert "Not run" not in table
    assert (tmp_path / "out" / "few_rounds-c.svg").exists()
    assert main(words) == 0
    assert len(commands) == 7, "what is complete is not run again"


def test_an_arm_may_be_of_some_rounds_alone_and_a_site_may_leave(
    words: list[str], commands: list[list[str]], tmp_path: Path
) -> None:
    words[words.index("--rounds") + 1] = "0"
    assert main([*words, "--only-arms", "shot", "--leave", "a=2"]) == 0
    assert _names(commands) == ["generator-c-0", "shot-c-r0-p0-0", "generator-c-1", "shot-c-r0-p0-1"]
    assert all(c[c.index("--leave") + 1] == "a=2" for c in commands[1::2])
    assert not any("--leave" in c for c in commands[::2]), "the generators are fitted with all sites"


def test_with_all_records_no_generator_is_fitted(words: list[str], commands: list[list[str]], tmp_path: Path) -> None:
    records = ["--records", str(tmp_path / "records")]
    assert main([*words, *records]) == 0
    words[words.index("--out") + 1] = str(tmp_path / "elsewhere")
    commands.clear()
    assert main([*words, *records]) == 0
    assert commands == []


def test_what_is_not_there_is_named(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--only-table"]) == 1
    assert "FedAvg, 5 rounds, c held out: its grid" in (tmp_path / "out" / "few_rounds.md").read_text()
    assert "not complete: Refit" in capsys.readouterr().err


def test_only_methods_without_labels_at_the_sites_are_given_the_label_site(words: list[str], tmp_path: Path) -> None:
    arms = "arms: [{key: fedavg, name: FedAvg, method: fedavgm}, {key: fixmatch, name: FixMatch, method: fixmatch}]"
    (tmp_path / "arms.yaml").write_text(arms)
    parser = argparse.ArgumentParser()
    few_rounds.configure(parser)
    args = parser.parse_args([*words[1:], "--label-site", "a", "--jobs", str(JOB.parent)])
    runs = Comparison(args, read_arms(args.arms)).grids()
    assert [run.planned.method.get("label_site") for run in runs] == [None, "a"]


def test_every_point_of_the_arms_without_labels_is_valid() -> None:
    arms = read_arms(JOB.parent / "unlabelled" / "few_rounds.yaml").arms
    assert {arm.method for arm in arms} == {"samfed", "fixmatch", "meanteacher", "lssl"}
    for arm in arms:
        assert len(arm.grid) in (1, 4)
        for point in range(len(arm.grid)):
            folder = JOB.parent / (METHODS[arm.method].job or arm.method)
            workflow_of(arm.method, planned_settings(arm.method, folder, arm.words(point, 5)))
