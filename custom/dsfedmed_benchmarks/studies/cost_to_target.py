# SPDX-License-Identifier: Apache-2.0
"""What DSFedMed spends until it reaches the final Dice of FedAvg, in rounds, gradient steps and bytes.

The Dice is that of FedAvg's selected round on the source sites' validation parts, with as many steps as DSFedMed takes
in all, that is, FedAvg as far converged as a run follows it.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from dsfedmed.reporting.methods import BY_KEY, baselines
from dsfedmed.reporting.record import Record
from dsfedmed_benchmarks.studies.benchmark import cost_of

METHOD = "dsfedmed"
BASELINE = baselines(METHOD)["equal_steps"]
ROUNDS = "rounds"
"""The stage whose bytes grow with the rounds; those of the other stages are spent before the first one."""


@dataclass(frozen=True)
class CostToTarget:
    """What DSFedMed had spent when it first reached FedAvg's Dice, as shares of what FedAvg had spent there."""

    rounds: float
    steps: float
    bytes: float


def cost_to_target(record: Record) -> CostToTarget | None:
    """Return the shares of one run; None where it never gets there, or has no such baseline.

    Every round moves about as many bytes: those up to a round are its share of all rounds' bytes.
    """
    goal = record.mapping("selected").get(BASELINE)
    curve = record.mapping("curves").get(METHOD) or ()
    if goal is None:
        return None
    dice = float(goal["validation_dice"])
    there = next((entry for entry in curve if statistics.fmean(entry["validation"].values()) >= dice), None)
    if there is None:
        return None
    budgets = record.mapping("budgets")
    ours = _bytes_until(record, METHOD, int(there["round"]) / int(budgets[METHOD]["rounds"]))
    theirs = _bytes_until(record, BASELINE, int(goal["round"]) / int(budgets[BASELINE]["rounds"]))
    rounds, steps = int(there["round"]) / int(goal["round"]), int(there["local_steps"]) / int(goal["local_steps"])
    return CostToTarget(rounds, steps, ours / theirs)


def mean_cost(found: Sequence[CostToTarget]) -> CostToTarget | None:
    """Return the mean shares; None without any."""
    if not found:
        return None
    columns = ([getattr(each, name) for each in found] for name in ("rounds", "steps", "bytes"))
    return CostToTarget(*(statistics.fmean(column) for column in columns))


def _bytes_until(record: Record, method: str, share: float) -> float:
    """Return the bytes of a training site when that share of the rounds is done."""
    moved, _ = cost_of(record, BY_KEY[method])
    if BY_KEY[method].stages:  # a baseline has nothing but rounds
        return moved * share
    entries = record.mapping("bytes").get("entries") or ()
    rounds = sum(
        int(entry["bytes"])
        for entry in entries
        if entry.get("stage") == ROUNDS and entry.get("purpose", "method") == "method"
    ) / max(len(record.training_sites), 1)
    return moved - rounds * (1.0 - share)
