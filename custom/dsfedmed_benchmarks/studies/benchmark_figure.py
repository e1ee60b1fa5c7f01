# SPDX-License-Identifier: Apache-2.0
"""All methods at a glance: Dice seen and unseen with intervals over runs, and bytes of a site."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from dsfedmed.reporting.figures.style import INK, styled
from dsfedmed.reporting.units import byte_text
from dsfedmed_benchmarks.measurement.figure import new_figure, to_svg
from dsfedmed_benchmarks.studies.benchmark import Row

MIB = 2**20


@styled
def benchmark_figure(rows: Sequence[Row]) -> str | None:
    """Return three panels as SVG; None without rows."""
    if not rows:
        return None
    figure, (seen, unseen, moved) = new_figure(11.4, 1.0 + 0.36 * len(rows), 3, sharey=True, width_ratios=(1, 1, 0.8))
    for axis, group in ((seen, "seen"), (unseen, "unseen")):
        _dice(axis, rows, f"{group}_dice")
        axis.set_title(f"Dice, {group} sites")
        axis.set_xlabel("% (mean over runs, 95 % interval)")
    _bytes(moved, rows)
    seen.set_yticks(range(len(rows)), [row.method.name for row in rows])
    seen.set_ylim(len(rows) - 0.4, -0.7)
    return to_svg(figure)


def _dice(axis: Axes, rows: Sequence[Row], name: str) -> None:
    for number, row in enumerate(rows):
        value = row.figures[name]
        if value is None:
            continue
        half = value.half or 0.0
        ends = [value.mean - half, value.mean + half]
        axis.plot(ends, [number, number], color=row.method.colour, linewidth=2.2, alpha=0.55)
        axis.plot([value.mean], [number], "o", color=row.method.colour, markersize=6.5)
        axis.annotate(
            f"{value.mean:.1f}", (value.mean, number), (0, 5), textcoords="offset points", ha="center", va="bottom",
            fontsize=8, color=INK,
        )  # fmt: skip
    axis.grid(axis="y", visible=False)
    axis.margins(x=0.1)
    low, high = axis.get_xlim()
    axis.set_xlim(max(low, 0.0), min(high, 100.0))  # an interval of two runs may reach beyond what Dice can be


def _bytes(axis: Axes, rows: Sequence[Row]) -> None:
    shown = [(number, row) for number, row in enumerate(rows) if row.bytes_per_site]
    for number, row in shown:
        size = (row.bytes_per_site or 0.0) / MIB
        axis.barh(number, size, color=row.method.colour, height=0.55)
        axis.annotate(
            byte_text(round(size * MIB)), (size, number), (4, 0), textcoords="offset points", va="center", fontsize=8
        )
    if shown:
        axis.set_xscale("log")
    axis.set_title("Through the wire, a site")
    axis.set_xlabel("MiB, up and down, all rounds")
    axis.grid(axis="y", visible=False)
    axis.margins(x=0.25)
