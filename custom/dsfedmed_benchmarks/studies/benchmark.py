# SPDX-License-Identifier: Apache-2.0
"""All methods over many runs: a run is one workflow with one held-out site and one seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scipy import stats

from dsfedmed.methods import MODELS, ShownModel
from dsfedmed.reporting.record import Record
from dsfedmed.reporting.results import build_results

FIGURES = ("seen_dice", "unseen_dice", "seen_iou", "unseen_iou", "seen_hd95", "unseen_hd95")
OUTSIDE = ("evaluate", "evaluate comparison", "release", "check sites")
"""Stages that belong to every method alike and are no method's cost."""


Fold = tuple[str, int]
"""Held-out sites and seed of a run."""


@dataclass(frozen=True)
class Mean:
    """A mean over runs with its 95 % t interval; ``half`` is None for one run."""

    mean: float
    half: float | None
    runs: int


@dataclass(frozen=True)
class Row:
    """One method over its runs.

    Attributes:
        method: how it is shown.
        figures: Dice and IoU in percent, HD95 in pixels, seen and unseen; None where no run has one.
        bytes_per_site: mean bytes up and down of one training site.
        seconds: mean wall time of its stages.
        parameters: of the network that is run in the end.
        inference_ms: its time for one image, mean over runs.
        folds: the held-out sites and seeds of its runs.
    """

    method: ShownModel
    figures: dict[str, Mean | None]
    bytes_per_site: float | None
    seconds: float | None
    parameters: int | None
    inference_ms: float | None
    folds: tuple[Fold, ...]


Run = tuple[Record, dict[str, Any]]
"""A complete run: its record and its results."""


def complete_runs(records: Sequence[Record]) -> list[Run]:
    """Return the runs that are complete, with their results."""
    return [(record, build_results(record)) for record in records if record.complete]


def benchmark_rows(runs: Sequence[Run]) -> list[Row]:
    """Return a row for every method that any run tested."""
    rows = []
    for method in MODELS:
        found = [(record, results) for record, results in runs if method.key in results["methods"]]
        if found:
            rows.append(_row(method, found))
    return rows


def fold_of(record: Record) -> Fold:
    """Return what was held out in a run, and its seed."""
    return ", ".join(record.unseen) or "none", record.seed


def mean_over(values: Sequence[float]) -> Mean | None:
    """Return the mean with the half width of its 95 % t interval over runs."""
    if not values:
        return None
    half = None
    if len(values) > 1:
        quantile = float(stats.t.ppf(0.975, len(values) - 1))
        half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return Mean(statistics.fmean(values), half, len(values))


def cost_of(record: Record, method: ShownModel) -> tuple[float, float]:
    """Return a method's bytes per training site and its seconds in one run."""
    own = not method.stages
    entries = record.mapping("bytes").get("entries") or ()
    moved = sum(
        int(entry["bytes"])
        for entry in entries
        if entry.get("stage") not in OUTSIDE
        and (entry.get("purpose", "method") == "method" if own else entry.get("stage") in method.stages)
    )
    seconds = sum(
        float(stage["seconds"])
        for stage in record.entries("stages")
        if stage["name"] not in OUTSIDE
        and (not str(stage["name"]).startswith("compare ") if own else stage["name"] in method.stages)
    )
    return moved / max(len(record.training_sites), 1), seconds


def _row(method: ShownModel, found: Sequence[Run]) -> Row:
    figures = {}
    for name in FIGURES:
        values = [results["methods"][method.key][name] for _, results in found]
        figures[name] = mean_over([value for value in values if value is not None])
    costs = [cost_of(record, method) for record, _ in found]
    parameters = [results["parameters"].get(method.network) for _, results in found]
    speeds = [results["inference_ms"].get(method.network) for _, results in found]
    known = [speed for speed in speeds if speed is not None]
    return Row(
        method,
        figures,
        statistics.fmean(moved for moved, _ in costs),
        statistics.fmean(seconds for _, seconds in costs),
        next((count for count in parameters if count is not None), None),
        statistics.fmean(known) if known else None,
        tuple(sorted({fold_of(record) for record, _ in found})),
    )


def mean_text(mean: Mean | None, signed: bool = False) -> str:
    """Return "65.0 ± 1.2", without the interval for one run, "-" for none."""
    if mean is None:
        return "-"
    sign = "+" if signed else ""
    return f"{mean.mean:{sign}.1f}" if mean.half is None else f"{mean.mean:{sign}.1f} ± {mean.half:.1f}"
