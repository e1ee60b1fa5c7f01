# SPDX-License-Identifier: Apache-2.0
"""Kill the process in the middle of the rounds, run again: the result is that of an undisturbed run, to the last bit.

Every method in its own way: what the sites keep to themselves included.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.federated.local.simulation import simulate_locally
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.store.files import read_tensors
from tests.runs.commands import BUNDLES, ROOT
from tests.runs.killing import kill_in_round, start
from tests.runs.local import without_pictures
from tests.runs.smoke import smoke
from tests.runs.stored import assert_same, assert_same_stages

NETWORKS = {"site_b": "light_unet_segmentation", "site_c": "light_flexible_unet_segmentation"}
CHANGES: dict[str, dict[str, Any]] = {
    "pfedsam": {"compare": {"fedsam": False}, "method": {"learning_rate": 0.01}},
    "samfed": {"method": {"label_site": "site_a", "teacher_gate": False, "site_bundles": NETWORKS}},
}
KEPT = {"pfedsam": "sites/*/personal/pfedsam-*.safetensors", "samfed": "sites/*/samfed/samfed-*.safetensors"}
"""What a site keeps between rounds: personal branches; own networks, optimisers, agreement."""


@pytest.mark.parametrize("method", CHANGES)
def test_a_killed_run_resumes_after_the_round_in_which_it_was_killed(
    method: str, sites: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_pictures(monkeypatch)
    settings = smoke(method, rounds=3, **CHANGES[method])
    public = sites / "site_a" if method == "samfed" else None
    whole, killed = (SimulatedSites(sites, tmp_path / name, BUNDLES, public=public) for name in ("whole", "killed"))
    assert simulate_locally(method, settings, whole) == "complete"
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(settings.to_dict()))
    words = [method, str(sites), str(killed.run), str(file), *([str(public)] if public else [])]
    kill_in_round(start([sys.executable, "-m", "tests.runs", *words], ROOT), killed.run, 1, method)
    caplog.set_level(logging.INFO)
    caplog.clear()
    assert simulate_locally(method, settings, killed) == "complete"
    assert "rounds: 3/3" in caplog.text
    assert "rounds: 1/3" not in caplog.text, "round 1 was done again"
    assert_same_stages(whole.run, killed.run, [f"training-{method}"])
    kept = [path.relative_to(whole.run) for path in whole.run.glob(KEPT[method])]
    assert len(kept) > 6
    for path in kept:
        assert_same(read_tensors(whole.run / path), read_tensors(killed.run / path), path)
