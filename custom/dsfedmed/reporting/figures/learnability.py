# SPDX-License-Identifier: Apache-2.0
"""Learnability over time: where the pool's scores lie, what was selected, and both models' losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from dsfedmed.reporting.figures.style import QUIET, Chart, new_chart, styled, to_chart
from dsfedmed.reporting.methods import colour


@styled
def learnability_charts(entries: list[dict[str, Any]]) -> list[Chart]:
    """Return the heat map of scores, the losses and the disagreement over rounds; none without entries."""
    if not entries:
        return []
    rounds = [entry["round"] for entry in entries]
    figure, axis = new_chart(2.8)
    _heat(axis, entries, rounds)
    axis.set_xlabel("round")
    alt = f"Learnability score of the pool over the rounds; mean of the selected: {_ends(entries, 'selected_mean')}."
    return [to_chart(figure, alt), _losses(entries, rounds), _disagreement(entries, rounds)]


def _losses(entries: list[dict[str, Any]], rounds: list[int]) -> Chart:
    figure, axis = new_chart(2.8)
    for key, name in (("teacher_loss", "teacher"), ("student_loss", "dsfedmed")):
        label = "teacher" if key == "teacher_loss" else "light network"
        axis.plot(rounds, _series(entries, key), color=colour(name), linewidth=2, marker="o", ms=3, label=label)
    axis.set_title("Loss against the mask")
    axis.set_xlabel("round")
    axis.legend()
    both = f"teacher {_ends(entries, 'teacher_loss')}; light network {_ends(entries, 'student_loss')}"
    return to_chart(figure, f"Loss against the mask over the rounds: {both}.")


def _disagreement(entries: list[dict[str, Any]], rounds: list[int]) -> Chart:
    figure, axis = new_chart(2.8)
    axis.plot(rounds, _series(entries, "kl"), color="#0b7285", linewidth=2, marker="o", markersize=3)
    axis.set_title("Disagreement (KL, both ways)")
    axis.set_xlabel("round")
    return to_chart(figure, f"Disagreement of teacher and light network over the rounds: {_ends(entries, 'kl')}.")


def _ends(entries: list[dict[str, Any]], key: str) -> str:
    """Return the first and the last value in words."""
    known = [entry[key] for entry in entries if entry.get(key) is not None]
    return f"first {known[0]:.3g}, last {known[-1]:.3g}" if known else "not recorded"


def _heat(axis: Any, entries: list[dict[str, Any]], rounds: list[int]) -> None:
    """Density of the scores of every scoring round as a column, with mean and selected mean over it."""
    half = 0.5 * min(np.diff(sorted(set(rounds))), default=1)
    for entry in entries:
        histogram = (entry.get("scores") or {}).get("histogram")
        if histogram:
            counts = np.asarray(histogram["counts"], dtype=float)
            density = counts[:, None] / max(counts.max(), 1)
            span = np.array([entry["round"] - half, entry["round"] + half])
            axis.pcolormesh(span, np.asarray(histogram["edges"]), density, cmap="Purples", vmin=0, vmax=1.15)
    axis.grid(visible=False)
    means = [(entry.get("scores") or {}).get("mean") for entry in entries]
    axis.plot(rounds, _floats(means), color=QUIET, linewidth=1.6, linestyle="--", label="pool mean")
    axis.plot(rounds, _series(entries, "selected_mean"), color="#d9480f", linewidth=2, label="selected mean")
    axis.set_title("Learnability score of the pool")
    axis.legend(loc="upper right")


def _series(entries: list[dict[str, Any]], key: str) -> list[float]:
    """One value per entry; a missing one is a gap."""
    return _floats([entry.get(key) for entry in entries])


def _floats(values: list[Any]) -> list[float]:
    """None becomes NaN, which Matplotlib leaves out."""
    return [float("nan") if value is None else float(value) for value in values]
