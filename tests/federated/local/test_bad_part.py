# SPDX-License-Identifier: Apache-2.0
"""Whole runs in which one site's part of the synthetic set is bad: they go on without it, and the site is told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.algorithms.robust.mask_adherence import Following
from dsfedmed.federated.local.simulation import simulate_locally
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.federated.server.robust import part_scoring, parts
from dsfedmed.federated.server.robust.part_training import STAGE, PartTraining
from dsfedmed.settings import Settings, merge
from dsfedmed.store.files import read_json
from tests.runs.commands import BUNDLES
from tests.runs.local import without_pictures
from tests.runs.tiny import NOTHING, TINY

BAD = "site_b"
ONE_SHOT = {
    "rounds": 0, "synthetic": {"broadcast": False}, "schedule": {"distil_at": "server", "head_start_steps": 1},
}  # fmt: skip


class Planted(PartTraining):
    """Says that one part does not follow its masks; trains as it should otherwise."""

    def own(self, site: str, steps: int) -> Iterator[Following]:
        while True:
            yield Following(0.2 if site == BAD else 0.9, 0.5)


@pytest.mark.parametrize("changes", [{}, ONE_SHOT], ids=["rounds", "one shot, server alone"])
def test_the_run_goes_on_without_the_part_and_its_site_is_told(
    changes: dict[str, Any],
    sites: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    without_pictures(monkeypatch)
    monkeypatch.setattr(parts, "PartTraining", Planted)
    monkeypatch.setattr(part_scoring, "LEAST_PAIRS", 2)
    caplog.set_level(logging.INFO)
    settings = Settings.from_dict(merge(merge({**TINY, "unseen": ["site_d"]}, {"compare": NOTHING}), changes))
    run = tmp_path / "run"
    assert simulate_locally("dsfedmed", settings, SimulatedSites(sites, run, BUNDLES)) == "complete"
    record = read_json(run / "record.json")
    told = [(event["stage"], event["site"]) for event in record["events"] if event["kind"] == "refused"]
    assert told == [(STAGE, BAD)]
    assert "does not follow its masks (Dice 0.200" in record["parts"][BAD]["left_out"]
    assert {site for site, score in record["parts"].items() if not score["left_out"]} == {"site_a", "site_c"}
    assert record["synthetic"]["kept"] <= 4
    assert record["synthetic"]["sheets"].keys() <= {"site_a", "site_c"}
    assert STAGE in [stage["name"] for stage in record["stages"]]
    assert "the server says: this site's part of the synthetic set is left out" in caplog.text
