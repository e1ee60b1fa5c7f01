# SPDX-License-Identifier: Apache-2.0
"""A real run over NVFlare in which one site's updates are finite and a thousand times too large."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed.federated.party.layout import SimulatedSites, site_names
from dsfedmed.flare.recipe import export_job
from dsfedmed.flare.workspace import prepare_workspace
from dsfedmed.store.files import read_json
from tests.flare.recorded import client_config, ship
from tests.runs.commands import BUNDLES, simulate_folder
from tests.runs.smoke import ALONE, smoke
from tests.runs.stored import stage_tensors

pytestmark = [pytest.mark.federation, pytest.mark.slow]
ROUNDS = 5


def test_they_do_not_count_and_the_site_is_no_longer_asked(sites: Path, tmp_path: Path) -> None:
    settings = smoke(rounds=ROUNDS, compare=ALONE, light={"precision": "fp32"})
    job = export_job(settings, tmp_path / "jobs")
    config = client_config(job)
    plan = {"site_b": {str(number): "thousandfold" for number in range(1, ROUNDS + 1)}}
    config["executors"][0]["executor"] = {"path": "faulty.FaultyExecutor", "args": {"plan": plan}}
    ship(job, "faulty.py", config)
    prepare_workspace(tmp_path / "ws", SimulatedSites(sites, tmp_path / "run", BUNDLES))
    code, output = simulate_folder(job, tmp_path / "ws", site_names(sites))
    assert code == 0, output[-3000:]
    record = read_json(tmp_path / "run" / "record.json")
    assert record["verdict"] == "complete"
    refused = [(e["round"], e["site"], e["message"]) for e in record["events"] if e["kind"] == "refused"]
    assert [(number, site) for number, site, _ in refused] == [(1, "site_b"), (2, "site_b"), (3, "site_b")]
    assert all("times as long as" in text for _, _, text in refused)
    losses = {entry["round"]: set(entry["loss"]) for entry in record["curves"]["dsfedmed"]}
    assert all(losses[number] == {"site_a", "site_c"} for number in range(1, ROUNDS + 1))
    assert "site_b" in record["curves"]["dsfedmed"][1]["validation"], "it was asked in the third round"
    assert "site_b" not in record["curves"]["dsfedmed"][2]["validation"]
    weights = stage_tensors(tmp_path / "run", "training-dsfedmed")
    assert max(float(t.abs().max()) for name, t in weights.items() if name.startswith("weights/")) < 100
