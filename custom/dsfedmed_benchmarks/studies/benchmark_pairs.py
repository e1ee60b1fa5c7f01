# SPDX-License-Identifier: Apache-2.0
"""The benchmark's claims: a method minus its baseline, paired run by run, with the share of the baseline's bytes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from dsfedmed.methods import METHODS
from dsfedmed.reporting.methods import BY_KEY
from dsfedmed_benchmarks.studies.benchmark import Mean, Run, cost_of, mean_over, mean_text

PAIRS = tuple(
    dict.fromkeys(
        [(workflow, baseline) for workflow, method in METHODS.items() for baseline in method.baselines.values()]
        + [("fedmsa", "fedsam"), ("fedprox", "fedavg")]
    )
)
"""Method and baseline: those of the workflows, and the baselines that vary another baseline."""
GROUPS = ("seen", "unseen")
NOT_FEDERATED = ("local", "local_lora", "labels_only", "centralised")
"""Baselines that send nothing but the request to train, of which no share is worth stating."""


@dataclass(frozen=True)
class Pair:
    """A method minus its baseline over the runs that have both.

    Attributes:
        method: key of the method.
        baseline: key of its baseline.
        difference: of Dice in points, seen and unseen; None where no run has both.
        better: in how many of those runs the method is better.
        bytes_share: the method's bytes a site over the baseline's, mean over runs; None: not federated.
    """

    method: str
    baseline: str
    difference: dict[str, Mean | None]
    better: dict[str, int]
    bytes_share: float | None


def benchmark_pairs(runs: Sequence[Run]) -> list[Pair]:
    """Return the pairs that any run has."""
    return [
        _pair(method, baseline, found)
        for method, baseline in PAIRS
        if (found := [run for run in runs if method in run[1]["methods"] and baseline in run[1]["methods"]])
    ]


def pairs_markdown(pairs: Sequence[Pair]) -> list[str]:
    """Return the table of the pairs."""
    lines = [
        "| difference in Dice, points | seen | better | unseen | better | bytes of the baseline |",
        "|---|---|---|---|---|---|",
    ]
    return lines + [_line(pair) for pair in pairs] if pairs else []


def _pair(method: str, baseline: str, found: Sequence[Run]) -> Pair:
    differences = {group: _differences(method, baseline, f"{group}_dice", found) for group in GROUPS}
    costs = [(cost_of(record, BY_KEY[method])[0], cost_of(record, BY_KEY[baseline])[0]) for record, _ in found]
    shares = [moved / base for moved, base in costs if base] if baseline not in NOT_FEDERATED else []
    return Pair(
        method,
        baseline,
        {group: mean_over(values) for group, values in differences.items()},
        {group: sum(value > 0 for value in values) for group, values in differences.items()},
        statistics.fmean(shares) if shares else None,
    )


def _differences(method: str, baseline: str, figure: str, found: Sequence[Run]) -> list[float]:
    both = [(results["methods"][method][figure], results["methods"][baseline][figure]) for _, results in found]
    return [ours - theirs for ours, theirs in both if ours is not None and theirs is not None]


def _line(pair: Pair) -> str:
    cells = [f"{BY_KEY[pair.method].name} - {BY_KEY[pair.baseline].name}"]
    for group in GROUPS:
        mean = pair.difference[group]
        cells += [mean_text(mean, signed=True), f"{pair.better[group]} of {mean.runs}" if mean else "-"]
    cells.append("-" if pair.bytes_share is None else f"{100 * pair.bytes_share:.1f} %")
    return f"| {' | '.join(cells)} |"
