# SPDX-License-Identifier: Apache-2.0
"""A run's own record: whole after every change, gone on with after a restart, and never silent about its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed.federated.server.run_record import FILE_NAME, RunRecord, mark_not_begun, now
from dsfedmed.store.files import read_json
from dsfedmed.version import VERSION
from tests.federated.tiny import tiny_settings

SETTINGS = tiny_settings(preset="smoke", seed=3)


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    return RunRecord(tmp_path / "run", "dsfedmed", SETTINGS, ["site_a", "site_b"], ["site_c"])


def on_disk(record: RunRecord) -> dict:
    return dict(read_json(record.path))


def test_it_says_what_runs_before_anything_is_done(record: RunRecord) -> None:
    found = on_disk(record)
    assert record.path.name == FILE_NAME
    assert (found["name"], found["method"], found["preset"], found["seed"]) == ("run", "dsfedmed", "smoke", 3)
    assert (found["sites"], found["unseen"]) == (["site_a", "site_b"], ["site_c"])
    assert found["config"] == SETTINGS.to_dict()
    assert found["versions"]["dsfedmed"] == VERSION
    assert (found["verdict"], found["finished"]) == ("incomplete: still running, or ended without a word", None)


def test_every_change_is_on_disk_at_once(record: RunRecord) -> None:
    record.put(masks={"site_a": "drawn"})
    record.add("selected", fedavg={"round": 2})
    record.add("selected", dsfedmed={"round": 4})
    record.event("missing", "no answer", "rounds", 3, "site_b")
    found = on_disk(record)
    assert found["masks"] == {"site_a": "drawn"}
    assert found["selected"] == {"fedavg": {"round": 2}, "dsfedmed": {"round": 4}}
    (event,) = found["events"]
    assert event["time"] <= now()
    assert {**event, "time": ""} == {
        "time": "", "stage": "rounds", "round": 3, "site": "site_b", "kind": "missing", "message": "no answer",
    }  # fmt: skip


def test_a_stage_from_the_store_keeps_the_time_it_once_took(record: RunRecord) -> None:
    record.stage("rounds", 12.2512, False)
    record.stage("rounds", 0.01, True)
    record.stage("audit", 1.0, True)
    assert on_disk(record)["stages"] == [
        {"name": "rounds", "seconds": 12.25, "resumed": True},
        {"name": "audit", "seconds": 1.0, "resumed": True},
    ]
    record.stage("rounds", 5.0, False)
    assert [entry["seconds"] for entry in on_disk(record)["stages"]] == [5.0, 1.0]


def test_a_restarted_run_goes_on_with_what_it_finds(record: RunRecord, tmp_path: Path) -> None:
    record.add("budgets", fedavg={"rounds": 2})
    started = on_disk(record)["started"]
    record.finish("incomplete: site_a: is away")
    assert on_disk(record)["finished"] is not None
    again = RunRecord(tmp_path / "run", "dsfedmed", SETTINGS, ["site_a", "site_b"], ["site_c"])
    assert again.data["budgets"] == {"fedavg": {"rounds": 2}}
    assert (again.data["started"], again.data["finished"]) == (started, None)
    assert again.data["verdict"].startswith("incomplete: still running")
    again.finish("complete")
    assert on_disk(again)["verdict"] == "complete"


def test_what_is_no_number_is_never_written(record: RunRecord) -> None:
    """A record that no reader takes would lose the run's results."""
    before = on_disk(record)
    with pytest.raises(ValueError, match="not JSON compliant"):
        record.put(inference_ms={"light": float("nan")})
    assert on_disk(record) == before


def test_a_start_that_never_comes_to_the_server_has_not_the_old_verdict(record: RunRecord, tmp_path: Path) -> None:
    mark_not_begun(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    record.put(curves={"fedavg": [0.5]})
    record.finish("complete")
    mark_not_begun(record.path.parent)
    found = on_disk(record)
    assert (found["verdict"][:27], found["finished"]) == ("incomplete: started again, ", None)
    assert found["curves"] == {"fedavg": [0.5]}
