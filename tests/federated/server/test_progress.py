# SPDX-License-Identifier: Apache-2.0
"""Progress lines and status.json: where the run stands and how long the stage still takes."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from dsfedmed.federated.server import progress as module
from dsfedmed.federated.server.progress import Progress, clock
from dsfedmed.site_names import plain_name
from dsfedmed.store.files import read_json
from tests.federated.watch import Watch


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(module, "time", watch)
    return watch


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (3599.4, "59:59"), (3600, "1:00:00"), (36061, "10:01:01")],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_lines_by_hand(tmp_path: Path, watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dsfedmed.progress")
    progress = Progress(tmp_path, ("check sites", "rounds"))
    progress.stage("rounds")
    watch.now += 30
    progress.site("site_a", "dsf_train done in 2.0 s")
    progress.step(3, 12, "Dice 81.0")
    assert [record.getMessage() for record in caplog.records] == [
        "[   0:00] 2/2 rounds: started",
        "[   0:30] 2/2 rounds: 3/12  Dice 81.0  stage ETA 1:30",
    ]
    status = read_json(tmp_path / "status.json")
    assert status["stage"] == "rounds"
    assert (status["number"], status["stages"]) == (2, ["check sites", "rounds"])
    assert (status["step"], status["eta_s"], status["elapsed_s"]) == ([3, 12], 90.0, 30.0)
    assert status["sites"] == {"site_a": "dsf_train done in 2.0 s"}


def test_a_resumed_stage_reckons_with_its_own_steps_only(tmp_path: Path, watch: Watch) -> None:
    """Steps 1 to 10 came from an earlier run: one step took 5 s, so nine more take 45 s."""
    progress = Progress(tmp_path, ("rounds",))
    progress.stage("rounds", resumed=True)
    assert "already finished" in read_json(tmp_path / "status.json")["last"]
    watch.now += 5
    progress.step(11, 20, since=10)
    assert read_json(tmp_path / "status.json")["eta_s"] == 45.0


def test_a_stage_that_takes_longer_than_expected_has_no_negative_rest(tmp_path: Path, watch: Watch) -> None:
    """FedAvg to equal steps needs more rounds than reckoned when a site was absent."""
    progress = Progress(tmp_path, ("compare equal steps",))
    progress.stage("compare equal steps")
    watch.now += 10
    progress.step(5, 4)
    status = read_json(tmp_path / "status.json")
    assert status["eta_s"] == 0.0
    assert status["last"] == "5/5  stage ETA 0:00"
    assert status["step"] == [5, 5]


def test_before_the_first_stage_none_is_named(tmp_path: Path, watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dsfedmed.progress")
    Progress(tmp_path, ("rounds",)).say("evaluate: done again")
    assert [record.getMessage() for record in caplog.records] == ["[   0:00] evaluate: done again"]


def test_the_step_of_one_stage_is_not_shown_in_the_next(tmp_path: Path, watch: Watch) -> None:
    progress = Progress(tmp_path, ("a", "b"))
    progress.stage("a")
    progress.step(1, 2)
    progress.stage("b")
    status = read_json(tmp_path / "status.json")
    assert (status["stage"], status["step"], status["eta_s"]) == ("b", None, None)


@pytest.fixture
def progress(tmp_path: Path, watch: Watch, caplog: pytest.LogCaptureFixture) -> Progress:
    """In the stage "rounds", with the lines in ``caplog``."""
    caplog.set_level(logging.INFO, "dsfedmed.progress")
    progress = Progress(tmp_path, ("rounds",))
    progress.stage("rounds")
    caplog.clear()
    return progress


def test_the_steps_of_the_sites_are_shown_now_and_then(
    progress: Progress, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    """After 70 s the slower one has done a quarter, so that it needs 210 s more."""
    progress.task("dsf_train", ["site_a", "site_b"])
    for seconds, site, done in ((60, "site_b", 4), (4, "site_a", 2), (6, "site_b", 5)):
        watch.now += seconds
        progress.site_step(site, "dsf_train", done, 8)
    first, second = (record.getMessage() for record in caplog.records)  # 4 s after the first is too soon
    assert first.endswith("rounds: site_b 4/8  task ETA 1:00")
    assert second.endswith("rounds: site_a 2/8, site_b 5/8  task ETA 3:30")
    sites = read_json(progress.path)["sites"]
    assert sites == {"site_a": "dsf_train: 2 of 8 steps", "site_b": "dsf_train: 5 of 8 steps"}


def test_every_task_begins_anew_with_its_first_report(
    progress: Progress, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    for site in ("site_a", "site_b"):
        progress.task("dsf_train", ["site_a", "site_b"])
        watch.now += 3
        progress.site_step(site, "dsf_train", 1, 2)
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "site_a 1/2  task ETA 0:03",
        "site_b 1/2  task ETA 0:03",
    ]


@pytest.mark.parametrize(
    ("site", "task"), [("site_a", "dsf_train"), ("site_b", "dsf_branch"), ("site_c", "dsf_train"), ("x", "dsf_train")]
)
def test_a_late_report_is_not_shown(
    progress: Progress, watch: Watch, caplog: pytest.LogCaptureFixture, site: str, task: str
) -> None:
    """From a site that has replied, of a task left behind, from a site that was not asked, from no site of the run."""
    progress.task("dsf_train", ["site_a", "site_b"])
    progress.site("site_a", "dsf_train done in 3.0 s")
    watch.now += 60
    progress.site_step(site, task, 1, 2)
    assert caplog.records == []
    assert progress.state["sites"] == {"site_a": "dsf_train done in 3.0 s"}


def test_of_many_sites_the_slowest_are_named(
    progress: Progress, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    sites = [f"site_{number}" for number in range(8)]
    progress.task("dsf_train", sites)
    for number, site in enumerate(sites):
        progress.site_step(site, "dsf_train", 8 - number, 10)
    watch.now += 10
    progress.site_step("site_0", "dsf_train", 9, 10)
    shown = ", ".join(f"site_{number} {8 - number}/10" for number in range(2, 8))
    assert caplog.records[-1].getMessage().endswith(f"{shown} and 2 sites that are ahead  task ETA 1:30")


def test_people_read_the_sites_own_names(tmp_path: Path, watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dsfedmed.progress")
    plain = plain_name("Klinik Nord")
    progress = Progress(tmp_path, ("rounds",), {plain: "Klinik Nord"})
    progress.site(plain, "dsf_train done in 2.0 s")
    progress.say(f"the run goes on without {plain}")
    assert caplog.messages == ["[   0:00] the run goes on without Klinik Nord"]
    status = read_json(tmp_path / "status.json")
    assert status["sites"] == {"Klinik Nord": "dsf_train done in 2.0 s"}
    assert status["last"] == "the run goes on without Klinik Nord"
