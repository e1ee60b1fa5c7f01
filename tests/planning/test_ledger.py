# SPDX-License-Identifier: Apache-2.0
"""What is planned in bytes is what the ledger of a whole run has, but for headers and scores."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from dsfedmed.cli.main import main
from dsfedmed.options import dotted
from tests.runs.recording import Recording
from tests.runs.smoke import WHOLE

SHARE, HEADERS = 0.02, 5000
"""Of a stage's bytes, and bytes: names and shapes of tensors, requests and replies."""


@pytest.mark.parametrize("method", ["samfed", "pfedsam"])
def test_a_plan_has_the_bytes_of_the_run(method: str, in_process: Callable[[str], Recording], tmp_path: Path) -> None:
    run = in_process(method)
    public = ["--public", str(run.sites / "site_a")] if method == "samfed" else []
    given = [word for key, value in dotted(WHOLE[method]) for word in ("--set", f"{key}={json.dumps(value)}")]
    words = ["plan", "--sites", str(run.sites), "--unseen", "site_d", "--preset", "smoke", "--method", method, *public]
    assert main([*words, *given, "--no-calibration", "--json", str(tmp_path / "plan.json")]) == 0
    planned = json.loads((tmp_path / "plan.json").read_text())["bytes_a_site"]["stages"]
    entries = json.loads((run.run / "record.json").read_text())["bytes"]["entries"]
    moved: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        if entry["site"] == "site_b":
            moved[entry["stage"], entry["direction"]] += entry["bytes"]
    for stage in planned:
        for direction in ("down", "up"):
            found = moved[stage["stage"], direction]
            assert stage[direction] == pytest.approx(found, rel=SHARE, abs=HEADERS), (stage["stage"], direction, found)
    assert {stage for (stage, _), size in moved.items() if size > 2 * HEADERS} == {stage["stage"] for stage in planned}
