# SPDX-License-Identifier: Apache-2.0
"""Sites that fail in every way in one real run: the run goes on, says who and why, and takes them back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from dsfedmed.federated.party.layout import SimulatedSites, site_names
from dsfedmed.flare.recipe import export_job
from dsfedmed.flare.workspace import prepare_workspace
from dsfedmed.settings import Settings, merge, read_preset
from dsfedmed.store.files import read_json
from tests.federated.conftest import ROOT, simulate_folder, stage_tensors

pytestmark = pytest.mark.federation

PLAN = {
    "site_a": {"1": "nan", "5": "raise"},
    "site_b": {"2": "shape", "3": "die"},
    "site_c": {"4": "hang"},
}


@pytest.fixture(scope="module")
def record(sites, tmp_path_factory) -> dict:
    """The record of a run of six rounds in which every site fails at least once, never two of three in one round."""
    folder = tmp_path_factory.mktemp("faults")
    values = merge(
        read_preset(ROOT / "jobs/dsfedmed/presets/smoke.yaml"),
        {
            "preset": "smoke",
            "unseen": ["site_d"],
            "rounds": 6,
            "timeouts": {"straggler_grace_s": 8, "returning_grace_s": 6},
            "schedule": {"warmup_rounds": 2, "interval_rounds": 3},
            "compare": {"local": False, "fedavg": False, "equal_steps": False, "teacher": False},
        },
    )
    job = export_job(Settings.from_dict(values), folder / "jobs")
    (job / "app" / "custom").mkdir()
    shutil.copy(Path(__file__).with_name("faulty.py"), job / "app" / "custom" / "faulty.py")
    client = job / "app" / "config" / "config_fed_client.json"
    config = json.loads(client.read_text())
    config["executors"][0]["executor"] = {"path": "faulty.FaultyExecutor", "args": {"plan": PLAN}}
    client.write_text(json.dumps(config))
    prepare_workspace(folder / "ws", SimulatedSites(sites, folder / "run", ROOT / "bundles"))
    code, output = simulate_folder(job, folder / "ws", site_names(sites))
    assert code == 0, output[-3000:]
    return read_json(folder / "run" / "record.json") | {"folder": str(folder / "run")}


def _events(record: dict, site: str, round_number: int) -> list[tuple[str, str]]:
    return [(e["kind"], e["message"]) for e in record["events"] if e["site"] == site and e["round"] == round_number]


def test_the_run_is_complete_and_finite(record):
    assert record["verdict"] == "complete"
    weights = stage_tensors(Path(record["folder"]), "arm-dsfedmed")
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights.values())


@pytest.mark.parametrize(
    ("site", "number", "kind", "word"),
    [
        ("site_a", 1, "refused", "not finite"),
        ("site_b", 2, "refused", "shape"),
        ("site_b", 3, "refused", "signal 9"),
        ("site_c", 4, "missing", "no answer"),
        ("site_a", 5, "missing", "no answer"),
    ],
)
def test_each_fault_is_recorded_with_its_site_and_reason(record, site, number, kind, word):
    found = _events(record, site, number)
    assert any(k == kind and word in message for k, message in found), found


@pytest.mark.parametrize(("site", "number"), [("site_a", 2), ("site_b", 4), ("site_c", 5), ("site_a", 6)])
def test_each_site_is_taken_back(record, site, number):
    """It is back with the next thing it is asked: the soft labels after the round it missed, or the next round."""
    found = _events(record, site, number - 1) + _events(record, site, number)
    assert any(kind == "returned" for kind, _ in found), found


def test_a_round_averages_those_that_answered(record):
    losses = {entry["round"]: set(entry["loss"]) for entry in record["curves"]["dsfedmed"]}
    assert losses[1] == {"site_b", "site_c"}
    assert losses[3] == {"site_a", "site_c"}
    assert losses[6] == {"site_a", "site_b", "site_c"}
