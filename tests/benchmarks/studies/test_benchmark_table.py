# SPDX-License-Identifier: Apache-2.0
"""The benchmark as markdown: what is not complete is left out, and it says what it was made with."""

from __future__ import annotations

from dsfedmed.reporting.record import Record
from dsfedmed_benchmarks.studies.benchmark import complete_runs
from dsfedmed_benchmarks.studies.benchmark_table import benchmark_markdown
from tests.benchmarks.studies.runs import record


def markdown(*records: Record) -> str:
    return benchmark_markdown(complete_runs(records), records)


def test_an_incomplete_run_is_named_and_left_out() -> None:
    text = markdown(record(0, 0.6, 0.5), record(1, 0.1, 0.1, verdict="incomplete: site_b left"))
    assert "| pFedSAM | 60.0 | 50.0 |" in text
    assert "| 200 B |" in text
    assert "Left out: run-1, incomplete: site_b left." in text
    assert "site_c held out, seed 0." in text


def test_the_table_says_what_it_was_made_with() -> None:
    made = {"preset": "benchmark", "config": {"rounds": 30}, "versions": {"torch": "2.15.0", "dsfedmed": "0.3.0"}}
    text = markdown(record(0, 0.6, 0.5, **made), record(1, 0.6, 0.5, **made))
    assert "Made with preset benchmark of pfedsam; 30 rounds; dsfedmed 0.3.0, torch 2.15.0." in text


def test_methods_with_fewer_runs_are_named() -> None:
    alone = record(1, 0.6, 0.5)
    del alone.data["cases"]["pfedsam"]
    text = markdown(record(0, 0.6, 0.5), alone)
    assert "fewer runs" in text
    assert "- pFedSAM: site_c held out, seed 0\n" in text
    assert "- FedSAM:" not in text
    assert "fewer runs" not in markdown(record(0, 0.6, 0.5))
