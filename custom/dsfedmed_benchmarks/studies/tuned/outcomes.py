# SPDX-License-Identifier: Apache-2.0
"""Arms tuned with the same budget, by number of rounds: which point each arm takes, and what it then reaches.

Points are chosen with the first seed by the source sites' validation alone; the unseen site and all test parts have no
part in it. The chosen point is used unchanged for every seed.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from dsfedmed.methods import METHODS
from dsfedmed.reporting.record import Record
from dsfedmed.reporting.results import build_results
from dsfedmed_benchmarks.studies.benchmark import Mean, cost_of, mean_over
from dsfedmed_benchmarks.studies.tuned.arms import Arm

BEFORE_ROUNDS = ("fit base", "fit branches", "synthesise", "audit", "score parts", "adapt teacher")
"""Stages whose bytes and seconds an arm without synthetic images does not need."""


@dataclass(frozen=True)
class Outcome:
    """What one run reached.

    Attributes:
        validation: mean Dice of the chosen round over the source sites' validation parts, in percent.
        seen: test Dice, the mean of the source sites' means, in percent.
        unseen: of the held-out site.
        per_site: test Dice of each site.
        steps: gradient steps of the light network, sites and server together.
        chosen_round: the round that is released.
        round_bytes: bytes of a site in the rounds.
        bytes: those and, for arms with synthetic images, those of base, branch and set.
        seconds: likewise.
    """

    validation: float
    seen: float
    unseen: float | None
    per_site: dict[str, float]
    steps: int
    chosen_round: int
    round_bytes: float
    bytes: float
    seconds: float


@dataclass(frozen=True)
class ArmResult:
    """An arm at so many rounds with one held-out site.

    Attributes:
        arm: the arm.
        rounds: rounds of the light network.
        point: of its grid, as chosen.
        outcomes: by seed.
        tried: validation of every point of the grid with the first seed, in percent.
    """

    arm: Arm
    rounds: int
    point: int
    outcomes: dict[int, Outcome]
    tried: tuple[float, ...] = ()

    def mean(self, name: str) -> Mean | None:
        """Return the mean of an outcome's figure over the seeds."""
        values = [getattr(outcome, name) for outcome in self.outcomes.values()]
        return mean_over([float(value) for value in values if value is not None])

    def minus(self, other: ArmResult, name: str) -> Mean | None:
        """Return the mean difference from another arm, seed by seed."""
        seeds = sorted(self.outcomes.keys() & other.outcomes.keys())
        pairs = [(getattr(self.outcomes[seed], name), getattr(other.outcomes[seed], name)) for seed in seeds]
        return mean_over([float(ours - theirs) for ours, theirs in pairs if None not in (ours, theirs)])


def outcome_of(record: Record, arm: Arm) -> Outcome:
    """Return what a complete run reached."""
    results = build_results(record)
    figures, chosen = results["methods"][arm.counts], record.mapping("selected")[arm.counts]
    entries = record.mapping("bytes").get("entries") or ()
    sites = max(len(record.training_sites), 1)
    in_rounds = sum(int(entry["bytes"]) for entry in entries if entry.get("stage") == "rounds") / sites
    moved, seconds = cost_of(record, METHODS[arm.method].models[0])
    before = sum(float(s["seconds"]) for s in record.entries("stages") if s["name"] in BEFORE_ROUNDS)
    unseen = figures["unseen"]["dice"]["site_mean"] if figures["unseen"] else None
    return Outcome(
        validation=100 * float(chosen["validation_dice"]),
        seen=float(figures["seen"]["dice"]["site_mean"]),
        unseen=None if unseen is None else float(unseen),
        per_site={site: float(found["dice"]["mean"]) for site, found in figures["per_site"].items()},
        steps=int(record.mapping("budgets")[arm.counts]["local_steps"]),
        chosen_round=int(chosen["round"]),
        round_bytes=in_rounds,
        bytes=moved if arm.kind == "method" else in_rounds,
        seconds=seconds if arm.kind == "method" else seconds - before,
    )


def best_point(validations: Sequence[float | None]) -> int | None:
    """Return the point with the highest validation, the first of equals; None while a point has not been run."""
    known = [value for value in validations if value is not None]
    if len(known) < len(validations):
        return None
    return max(range(len(known)), key=lambda point: (known[point], -point))


def best_of(results: Sequence[ArmResult], kind: str) -> ArmResult | None:
    """Return the arm of a kind with the highest validation over its seeds; None without any."""
    found = [result for result in results if result.arm.kind == kind and result.outcomes]
    if not found:
        return None
    return max(found, key=lambda result: statistics.fmean(o.validation for o in result.outcomes.values()))
