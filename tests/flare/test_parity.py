# SPDX-License-Identifier: Apache-2.0
"""One seed and one thread give the same bits over NVFlare as in this process, at the server and at every site.

A process for every site, without NVFlare: ``tests/federated/local/test_simulation.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.federated.local.simulation import simulate_locally
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.methods import METHODS
from dsfedmed.store.files import read_json, read_tensors
from tests.runs.commands import BUNDLES
from tests.runs.recording import Recording
from tests.runs.smoke import whole
from tests.runs.stored import assert_same, assert_same_stages, released

SAME = (
    "cases", "curves", "selected", "budgets", "learnability", "audit", "parts", "masks", "synthetic", "parameters",
    "events",
)  # fmt: skip
"""Parts of the record that do not depend on clocks or bytes; most of all every score of every test image."""
KEPT = (
    "residuals", "references", "optimizer", "personal", "samfed", "local_layers", "controlled", "contrast", "ditto",
    "fine_tuning",
    "mean_teacher",
)  # fmt: skip
"""Folders of what a site keeps between rounds."""
ALWAYS = ("dsfedmed", "samfed")
"""Over NVFlare in every run of the tests: most tasks, and the public set; the others go the same way (slow)."""
BY_COST = [pytest.param(method, marks=() if method in ALWAYS else pytest.mark.slow) for method in METHODS]


def results_of(run: Path) -> dict[str, Any]:
    record = read_json(run / "record.json")
    for event in record.get("events", []):
        event.pop("time", None)
    return {part: record.get(part) for part in SAME}


def assert_same_run(first: Path, second: Path) -> None:
    """See that two runs released the same weights, scored every case alike, and hold the same tensors in between."""
    assert_same(released(first), released(second), "release")
    mine, theirs = results_of(first), results_of(second)
    assert mine["cases"]
    for part in SAME:
        assert mine[part] == theirs[part], part
    stages = sorted(path.stem for path in (first / "store").glob("*.json") if read_json(path).get("file"))
    assert any(stage.startswith("training-") for stage in stages)
    assert_same_stages(first, second, stages)
    kept = [path.relative_to(first) for folder in KEPT for path in first.glob(f"sites/*/{folder}/*.safetensors")]
    assert kept
    for path in kept:
        assert_same(read_tensors(first / path), read_tensors(second / path), path)


@pytest.mark.federation
@pytest.mark.parametrize("method", BY_COST)
def test_nvflare_and_the_local_transport_are_one_run(
    method: str, in_process: Callable[[str], Recording], over_nvflare: Callable[[str], Recording]
) -> None:
    """Generators, audit, teacher, distillation, personal branches and pseudo-labels come before these weights."""
    assert_same_run(in_process(method).run, over_nvflare(method).run)


@pytest.mark.slow
def test_a_process_for_each_site_changes_nothing(
    samfed_in_process: Recording, unlabelled: Path, tmp_path: Path
) -> None:
    layout = SimulatedSites(unlabelled, tmp_path / "run", BUNDLES, public=unlabelled / "site_a")
    assert simulate_locally("samfed", whole("samfed"), layout, processes=True) == "complete"
    assert_same_run(samfed_in_process.run, tmp_path / "run")
