# SPDX-License-Identifier: Apache-2.0
"""The benchmark's picture."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from dsfedmed_benchmarks.studies import benchmark_figure as figure_module
from dsfedmed_benchmarks.studies.benchmark import benchmark_rows, complete_runs
from dsfedmed_benchmarks.studies.benchmark_figure import benchmark_figure
from tests.benchmarks.studies.runs import record


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
