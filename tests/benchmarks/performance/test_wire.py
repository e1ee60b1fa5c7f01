# SPDX-License-Identifier: Apache-2.0
"""The wire benchmark counts what travels."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed_benchmarks.performance.wire import FEDSAM_MIB, PAYLOADS, WireOptions, rows_of, run

ROOT = Path(__file__).resolve().parents[3]

PRESETS = ROOT / "jobs" / "dsfedmed" / "presets"
MIB = 2**20


def entry(site: str, stage: str, direction: str, size: int) -> dict[str, object]:
    return {"site": site, "stage": stage, "direction": direction, "purpose": "method", "bytes": size, "messages": 4}


def test_rows_are_means_over_sites_and_scaled_references():
    entries = [entry(site, stage, way, 2 * MIB) for site in ("a", "b") for stage, way in PAYLOADS]
    entries += [entry("a", "check sites", "up", 2 * MIB)]
    rows = {str(row[0]): row for row in rows_of(entries, ["a", "b"], 50)}
    assert rows["branch and masks"][2:] == [4, 2.0]
    assert rows["everything else"][2:] == [2, 1.0]
    assert rows["all"][3] == pytest.approx(11.0)
    assert rows["FedSAM"][3] == FEDSAM_MIB / 2
    assert rows["fewer bytes than FedSAM (%)"][3] == pytest.approx(100 * (1 - 11 / (FEDSAM_MIB / 2)))


@pytest.mark.federation
def test_a_small_federation_is_counted_from_branch_to_distillation(tmp_path: Path):
    overrides = ("light.precision=int8", "rounds=2", "schedule.epochs=1", "synthetic.per_site=4")
    table = run(WireOptions(2, PRESETS / "smoke.yaml", overrides, ROOT / "bundles", tmp_path / "wire"))
    rows = {str(row[0]): row[3] for row in table.rows}
    whole = rows["light network after each distillation"]
    assert 0.8 * rows["light network: updates"] < 2 * whole < 1.2 * rows["light network: updates"]
    assert rows["light network: first reference, then differences"] > 2 * whole, "the first one is whole, in fp16"
    assert all(rows[name] > 0 for name in PAYLOADS.values())
    assert rows["all"] == pytest.approx(sum(rows[name] for name in (*PAYLOADS.values(), "everything else")))
