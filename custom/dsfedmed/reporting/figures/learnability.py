# SPDX-License-Identifier: Apache-2.0
"""Learnability over time: where the pool's scores lie, what was selected, and both models' losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from dsfedmed.reporting.figures.style import QUIET, new_figure, styled, to_svg
from dsfedmed.reporting.methods import colour


@styled
def learnability_figure(entries: list[dict[str, Any]]) -> str | None:
    """Return the heat map of scores, the losses and the disagreement over rounds as SVG; None without entries."""
    if not entries:
        return None
    figure, (scores, losses, kl) = new_figure(10.4, 3.3, 3, width_ratios=(1.5, 1, 1))
    rounds = [entry["round"] for entry in entries]
    _heat(scores, entries, rounds)
    for key, name in (("teacher_loss", "teacher"), ("student_loss", "dsfedmed")):
        label = "teacher" if key == "teacher_loss" else "light network"
        losses.plot(rounds, _series(entries, key), color=colour(name), linewidth=2, marker="o", ms=3, label=label)
    losses.set_title("Loss against the mask")
    losses.legend()
    kl.plot(rounds, _series(entries, "kl"), color="#0b7285", linewidth=2, marker="o", markersize=3)
    kl.set_title("Disagreement (KL, both ways)")
    for axis in (scores, losses, kl):
        axis.set_xlabel("round")
    return to_svg(figure)


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
