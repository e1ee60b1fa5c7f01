# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

from dsfedmed_benchmarks.studies.seeds_table import markdown_table


def run_of(seed: int, dice: float, gain: float, **changes: Any) -> dict[str, Any]:
    """Return the part of results that the table reads."""
    figures = {f"{group}_{metric}": dice for group in ("seen", "unseen") for metric in ("dice", "iou", "hd95")}
    difference = {"seen": {"dice": {"mean": -gain}}, "unseen": {"dice": {"mean": gain}}}
    base = {
        "name": f"run{seed}",
        "method": "dsfedmed",
        "preset": "cpu",
        "seed": seed,
        "verdict": "complete",
        "sites": ["a"],
        "unseen": ["d"],
    }
    comparisons = {"equal_rounds": difference, "equal_steps": None}
    return {**base, "methods": {"dsfedmed": figures}, "comparisons": comparisons, **changes}


def test_by_hand() -> None:
    table = markdown_table([run_of(0, 70, 1), run_of(1, 74, 3), run_of(2, 75, -1)])
    assert "| DSFedMed | 73.0 ± 2.6 | 73.0 ± 2.6 |" in table
    assert "| DSFedMed - FedAvg at equal rounds | -1.0 ± 2.0 | +1.0 ± 2.0 | 2 of 3 |" in table
    assert "| DSFedMed - FedAvg at equal gradient steps | - | - | - |" in table
    assert "seeds: 0, 1, 2." in table


def test_one_seed_has_no_deviation() -> None:
    assert "| DSFedMed | 70.0 | 70.0 |" in markdown_table([run_of(0, 70, 1)])


def test_presets_and_unseen_sites_stand_apart() -> None:
    table = markdown_table([run_of(0, 70, 1), run_of(0, 50, 1, unseen=["a|b"]), run_of(0, 60, 1, preset="gpu")])
    assert table.count("### DSFedMed, preset") == 3
    assert "### DSFedMed, preset cpu: unseen a\\|b" in table


def test_an_incomplete_run_is_named_and_left_out() -> None:
    table = markdown_table([run_of(0, 70, 1), run_of(1, 10, 9, verdict="incomplete: site b left")])
    assert "| DSFedMed | 70.0 |" in table
    assert "Left out: run1 (seed 1), incomplete: site b left." in table


def test_a_value_that_some_runs_lack_is_counted() -> None:
    lacking = run_of(1, 80, 1)
    lacking["methods"]["dsfedmed"]["seen_dice"] = None
    assert "| DSFedMed | 70.0 (1 of 2 runs) | 75.0 ± 7.1 |" in markdown_table([run_of(0, 70, 1), lacking])


def test_the_same_seed_twice_is_said() -> None:
    assert "A seed occurs more than once" in markdown_table([run_of(0, 70, 1), run_of(0, 71, 1)])
