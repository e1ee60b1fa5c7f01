# SPDX-License-Identifier: Apache-2.0
"""What the run cost: bytes per stage and beside other methods', and time per stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from dsfedmed.reporting.figures.style import DOWN, INK, UP, Chart, new_chart, styled, to_chart
from dsfedmed.reporting.units import byte_text, seconds_text

MIB = 2**20


@styled
def stage_bytes_chart(stages: Mapping[str, Mapping[str, int]]) -> list[Chart]:
    """Return bytes up and down per stage; none without stages."""
    if not stages:
        return []
    figure, axis = new_chart(1.2 + 0.34 * len(stages))
    for row, sums in enumerate(stages.values()):
        up, down = sums["up"] / MIB, sums["down"] / MIB
        axis.barh(row, up, color=UP, height=0.62, label=None if row else "up")
        axis.barh(row, down, left=up, color=DOWN, height=0.62, label=None if row else "down")
        _beside(axis, up + down, row, byte_text(sums["up"] + sums["down"]))
    _rows(axis, list(stages), "MiB")
    axis.set_title("By stage")
    axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2)
    parts = [f"{name} {byte_text(s['up'])} up and {byte_text(s['down'])} down" for name, s in stages.items()]
    return [to_chart(figure, f"Bytes by stage: {'; '.join(parts)}.")]


@styled
def total_bytes_chart(totals: Sequence[tuple[str, float, str]], title: str) -> list[Chart]:
    """Return the totals of several methods.

    Args:
        totals: name, bytes and colour of each; nothing is drawn without.
        title: what is counted.
    """
    if not totals:
        return []
    figure, axis = new_chart(1.2 + 0.38 * len(totals))
    for row, (_, count, shade) in enumerate(totals):
        axis.barh(row, count / MIB, color=shade, height=0.55)
        _beside(axis, count / MIB, row, byte_text(count))
    _rows(axis, [name for name, _, _ in totals], "MiB")
    axis.set_title(title)
    return [to_chart(figure, f"{title}: {'; '.join(f'{name} {byte_text(count)}' for name, count, _ in totals)}.")]


@styled
def time_chart(stages: Mapping[str, float]) -> list[Chart]:
    """Return the time per stage; none without stages."""
    if not stages:
        return []
    figure, axis = new_chart(0.8 + 0.28 * len(stages))
    minute = max(stages.values()) >= 120
    scale = 60 if minute else 1
    axis.barh(range(len(stages)), [seconds / scale for seconds in stages.values()], color="#0b7285", height=0.62)
    for row, seconds in enumerate(stages.values()):
        _beside(axis, seconds / scale, row, seconds_text(seconds))
    _rows(axis, list(stages), "minutes" if minute else "seconds")
    parts = [f"{name} {seconds_text(seconds)}" for name, seconds in stages.items()]
    return [to_chart(figure, f"Time by stage: {'; '.join(parts)}.")]


def _rows(axis: Axes, names: list[str], unit: str) -> None:
    """Name the rows of bars from top to bottom, with room for the figures at their ends."""
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.set_xlabel(unit)
    axis.grid(axis="y", visible=False)
    axis.margins(x=0.3)


def _beside(axis: Axes, x: float, row: float, text: str) -> None:
    axis.annotate(text, (x, row), (4, 0), textcoords="offset points", va="center", fontsize=8.5, color=INK)
