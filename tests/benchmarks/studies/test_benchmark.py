# SPDX-License-Identifier: Apache-2.0
"""The benchmark's table by hand: means with t intervals, bytes a site, times; what is not complete is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from dsfedmed.errors import ConfigError
from dsfedmed.reporting.methods import BY_KEY
from dsfedmed.reporting.record import Record
from dsfedmed_benchmarks.studies import benchmark_figure as figure_module
from dsfedmed_benchmarks.studies.benchmark import benchmark_rows, complete_runs, cost_of, mean_over
from dsfedmed_benchmarks.studies.benchmark_figure import benchmark_figure
from dsfedmed_benchmarks.studies.benchmark_pairs import benchmark_pairs
from dsfedmed_benchmarks.studies.benchmark_settings import require_same_settings
from dsfedmed_benchmarks.studies.benchmark_table import benchmark_markdown


def case(dice: float) -> dict[str, Any]:
    return {"dice": [dice], "iou": [dice / 2], "hd95": [10 * (1 - dice)], "case": 0}


def record(seed: int, seen: float, unseen: float, **changes: Any) -> Record:
    """A pFedSAM run of two sites and one held out, with FedSAM beside it."""
    entries = [
        ("site_a", "rounds", "method", 100, "up"),
        ("site_b", "rounds", "method", 300, "down"),
        ("site_a", "evaluate", "method", 9999, "down"),
        ("site_a", "compare fedsam", "comparison", 4000, "up"),
        ("site_b", "compare fedsam", "comparison", 4000, "down"),
    ]
    names = ("site", "stage", "purpose", "bytes", "direction")
    data = {
        "name": f"run-{seed}",
        "method": "pfedsam",
        "seed": seed,
        "sites": ["site_a", "site_b"],
        "unseen": ["site_c"],
        "verdict": "complete",
        "cases": {
            "pfedsam": {"site_a": [case(seen)], "site_b": [case(seen)], "site_c": [case(unseen)]},
            "fedsam": {"site_a": [case(0.5)], "site_b": [case(0.5)], "site_c": [case(0.5)]},
        },
        "bytes": {"entries": [dict(zip(names, entry, strict=True)) for entry in entries]},
        "stages": [
            {"name": name, "seconds": seconds}
            for name, seconds in (("check sites", 30), ("rounds", 10), ("compare fedsam", 20), ("evaluate", 5))
        ],
        "parameters": {"teacher": 1000, "light": 10},
        "inference_ms": {"teacher": 4.0 + seed, "light": 1.0},
        **changes,
    }
    return Record(Path(f"run-{seed}"), data)


def markdown(*records: Record) -> str:
    return benchmark_markdown(complete_runs(records), records)


def test_costs_by_hand() -> None:
    """The final test is nobody's cost: it only serves the table."""
    assert cost_of(record(0, 0.6, 0.5), BY_KEY["pfedsam"]) == (200.0, 10.0)
    assert cost_of(record(0, 0.6, 0.5), BY_KEY["fedsam"]) == (4000.0, 20.0)


def test_rows_by_hand() -> None:
    rows = {row.method.key: row for row in benchmark_rows(complete_runs([record(0, 0.6, 0.5), record(1, 0.7, 0.5)]))}
    assert list(rows) == ["fedsam", "pfedsam"], "in the order of all reports"
    seen = rows["pfedsam"].figures["seen_dice"]
    assert seen.mean == pytest.approx(65.0)
    assert seen.half == pytest.approx(12.706 * 7.0711 / 2**0.5, rel=1e-3), "t of one degree of freedom"
    assert rows["pfedsam"].figures["unseen_dice"].half == pytest.approx(0.0)
    assert rows["pfedsam"].inference_ms == pytest.approx(4.5)
    assert rows["pfedsam"].parameters == 1000


def test_one_run_has_no_interval_and_none_no_mean() -> None:
    assert mean_over([]) is None
    assert mean_over([3.0]).half is None


def test_an_incomplete_run_is_named_and_left_out() -> None:
    text = markdown(record(0, 0.6, 0.5), record(1, 0.1, 0.1, verdict="incomplete: site_b left"))
    assert "| pFedSAM | 60.0 | 50.0 |" in text
    assert "| 200 B |" in text
    assert "Left out: run-1, incomplete: site_b left." in text
    assert "site_c held out, seed 0." in text


def test_differences_are_paired_run_by_run() -> None:
    """FedSAM has a Dice of 50 everywhere; 200 bytes a site against 4,000."""
    (pair,) = benchmark_pairs(complete_runs([record(0, 0.6, 0.48), record(1, 0.7, 0.5)]))
    assert (pair.method, pair.baseline) == ("pfedsam", "fedsam")
    assert pair.difference["seen"].mean == pytest.approx(15.0)
    assert pair.difference["seen"].half == pytest.approx(12.706 * 7.0711 / 2**0.5, rel=1e-3)
    assert pair.difference["unseen"].mean == pytest.approx(-1.0)
    assert pair.better == {"seen": 2, "unseen": 0}
    assert pair.bytes_share == pytest.approx(0.05)
    assert "| pFedSAM - FedSAM | +10.0 | 1 of 1 | -2.0 | 0 of 1 | 5.0 % |" in markdown(record(0, 0.6, 0.48))


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


def test_runs_of_one_table_may_differ_in_seed_held_out_site_and_labels() -> None:
    first = record(0, 0.6, 0.5, config={"seed": 0, "rounds": 30, "method": {"label_site": "a"}})
    second = record(1, 0.6, 0.5, config={"seed": 1, "rounds": 30, "method": {"label_site": "b"}})
    other_method = record(2, 0.6, 0.5, method="samfed", config={"rounds": 40})
    require_same_settings([first, second, other_method])


def test_an_option_younger_than_a_run_had_its_default_there() -> None:
    young = {"rounds": 30, "schedule": {"head_start_steps": 0}}
    require_same_settings([record(0, 0.6, 0.5, config={"rounds": 30}), record(1, 0.6, 0.5, config=young)])
    young["schedule"] = {"head_start_steps": 5}
    with pytest.raises(ConfigError, match=r"schedule\.head_start_steps \(5, not 0\)"):
        require_same_settings([record(0, 0.6, 0.5, config={"rounds": 30}), record(1, 0.6, 0.5, config=young)])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"config": {"rounds": 30, "method": {"rate": 2}}}, r"run-1: differs from run-0 in method\.rate \(2, not 1\)"),
        ({"config": {"rounds": 30}}, r"method\.rate \(None, not 1\)"),
        ({"teacher_weights": {"sha256": "b" * 64}}, r"the teacher weights \(bbbbbbbbbbbb, not aaaaaaaaaaaa\)"),
        ({"teacher_weights": {}, "method": "samfed"}, r"the teacher weights \(none, not aaaaaaaaaaaa\)"),
    ],
)
def test_a_run_of_other_settings_is_named(changes: dict[str, Any], named: str) -> None:
    common = {"config": {"rounds": 30, "method": {"rate": 1}}, "teacher_weights": {"sha256": "a" * 64}}
    with pytest.raises(ConfigError, match=named):
        require_same_settings([record(0, 0.6, 0.5, **common), record(1, 0.6, 0.5, **{**common, **changes})])


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


def test_the_picture_shows_every_method() -> None:
    svg = benchmark_figure(benchmark_rows(complete_runs([record(0, 0.6, 0.5), record(1, 0.7, 0.5)])))
    assert svg is not None
    assert svg.startswith("<?xml")
    assert benchmark_figure([]) is None


def test_no_axis_of_dice_goes_beyond_what_dice_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(figure_module, "to_svg", lambda figure: drawn.append(figure) or "")
    benchmark_figure(benchmark_rows(complete_runs([record(0, 0.99, 0.01), record(1, 0.80, 0.20)])))
    for axis in drawn[0].axes[:2]:
        low, high = axis.get_xlim()
        assert 0.0 <= low < high <= 100.0
