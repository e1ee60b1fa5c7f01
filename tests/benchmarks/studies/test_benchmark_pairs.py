# SPDX-License-Identifier: Apache-2.0
"""A method minus its baseline, paired run by run."""

from __future__ import annotations

import pytest

from dsfedmed_benchmarks.studies.benchmark import complete_runs
from dsfedmed_benchmarks.studies.benchmark_pairs import benchmark_pairs, pairs_markdown
from tests.benchmarks.studies.runs import record


def test_differences_are_paired_run_by_run() -> None:
    """FedSAM has a Dice of 50 everywhere; 200 bytes a site against 4,000."""
    (pair,) = benchmark_pairs(complete_runs([record(0, 0.6, 0.48), record(1, 0.7, 0.5)]))
    assert (pair.method, pair.baseline) == ("pfedsam", "fedsam")
    assert pair.difference["seen"].mean == pytest.approx(15.0)
    assert pair.difference["seen"].half == pytest.approx(12.706 * 7.0711 / 2**0.5, rel=1e-3)
    assert pair.difference["unseen"].mean == pytest.approx(-1.0)
    assert pair.better == {"seen": 2, "unseen": 0}
    assert pair.bytes_share == pytest.approx(0.05)
    assert "| pFedSAM - FedSAM | +10.0 | 1 of 1 | -2.0 | 0 of 1 | 5.0 % |" in pairs_markdown(
        benchmark_pairs(complete_runs([record(0, 0.6, 0.48)]))
    )


def test_no_share_of_a_baseline_that_is_not_federated() -> None:
    cases = record(0, 0.6, 0.5).data["cases"]
    renamed = {"samfed": cases["pfedsam"], "labels_only": cases["fedsam"]}
    entries = [
        {"site": "site_a", "stage": stage, "purpose": purpose, "bytes": moved, "direction": "up"}
        for stage, purpose, moved in (("rounds", "method", 4000), ("compare labels only", "comparison", 2))
    ]
    (pair,) = benchmark_pairs(
        complete_runs([record(0, 0, 0, method="samfed", cases=renamed, bytes={"entries": entries})])
    )
    assert (pair.method, pair.baseline, pair.bytes_share) == ("samfed", "labels_only", None)
