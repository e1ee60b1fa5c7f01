# SPDX-License-Identifier: Apache-2.0
"""One seed and one thread give the same bits, whatever carries the messages: NVFlare, this process, or several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dsfedmed.federated.local.simulation import simulate_locally
from dsfedmed.federated.party.layout import SimulatedSites
from dsfedmed.methods import METHODS
from dsfedmed.store.files import read_json
from tests.runs.commands import BUNDLES
from tests.runs.recording import Recording
from tests.runs.smoke import whole
from tests.runs.stored import assert_same, assert_same_stages, released

SAME = ("cases", "curves", "selected", "budgets", "learnability", "audit", "masks", "synthetic", "parameters", "events")
"""Parts of the record that do not depend on clocks or bytes; most of all every score of every test image."""


def results_of(run: Path) -> dict[str, Any]:
    record = read_json(run / "record.json")
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


@pytest.mark.federation
@pytest.mark.parametrize("method", METHODS)
def test_nvflare_and_the_local_transport_are_one_run(method: str, request: pytest.FixtureRequest) -> None:
    """Generators, audit, teacher, distillation, personal branches and pseudo-labels come before these weights."""
    local: Recording = request.getfixturevalue(f"{method}_in_process")
    remote: Recording = request.getfixturevalue(f"{method}_over_nvflare")
    assert_same_run(local.run, remote.run)


def test_a_process_for_each_site_changes_nothing(
    samfed_in_process: Recording, unlabelled: Path, tmp_path: Path
) -> None:
    layout = SimulatedSites(unlabelled, tmp_path / "run", BUNDLES, public=unlabelled / "site_a")
    assert simulate_locally("samfed", whole("samfed"), layout, processes=True) == "complete"
    assert_same_run(samfed_in_process.run, tmp_path / "run")
