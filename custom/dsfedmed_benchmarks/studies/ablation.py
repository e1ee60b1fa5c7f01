# SPDX-License-Identifier: Apache-2.0
"""An ablation's rows: DSFedMed under one change, against FedAvg at equal rounds and at equal steps.

Settings are chosen by the source sites' validation Dice; test figures are for the end, and read on demand alone.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from dsfedmed.evaluation.intervals import Interval, Stratum
from dsfedmed.reporting.methods import BY_KEY, baselines
from dsfedmed.reporting.record import Record
from dsfedmed.reporting.summary import stratum
from dsfedmed.seeds import derive_seed
from dsfedmed_benchmarks.studies.benchmark import Mean, cost_of, mean_over
from dsfedmed_benchmarks.studies.cost_to_target import CostToTarget, cost_to_target, mean_cost
from dsfedmed_benchmarks.studies.seed_intervals import SeededStratum, seeded_interval

METHOD = "dsfedmed"
BUDGETS = baselines(METHOD)
GROUPS = ("seen", "unseen")


@dataclass(frozen=True)
class AblationRow:
    """One changed setting over its runs.

    Attributes:
        name: of the change.
        validation: DSFedMed's mean validation Dice at its selected round, percent.
        gains: its difference from FedAvg in points of validation Dice, by budget ("equal_rounds", "equal_steps").
        reached: in how many runs it comes to FedAvg's Dice at equal steps, by validation.
        cost: what it has spent there, mean over those runs.
        teacher: mean test Dice of the teacher before and after mutual distillation on seen sites, percent; only with
            ``test``, None where it was not scored.
        tests: differences in test Dice with intervals over cases and seeds, by (budget, "seen" or "unseen").
        seconds: mean wall time of DSFedMed's own stages.
        runs: how many.
    """

    name: str
    validation: Mean | None
    gains: dict[str, Mean | None]
    reached: int
    cost: CostToTarget | None
    teacher: tuple[float | None, float | None]
    tests: dict[tuple[str, str], Interval | None]
    seconds: float
    runs: int


def ablation_row(name: str, records: Sequence[Record], test: bool = False) -> AblationRow:
    """Return a row of complete runs; at least one. ``test`` reads the test figures too."""
    gains = {
        budget: mean_over([gain for record in records if (gain := validation_gain(record, baseline)) is not None])
        for budget, baseline in BUDGETS.items()
    }
    scores = [dice for record in records if (dice := validation_dice(record, METHOD)) is not None]
    costs = [found for record in records if (found := cost_to_target(record)) is not None]
    tests = {
        (budget, group): test_difference(records, baseline, group) if test else None
        for budget, baseline in BUDGETS.items()
        for group in GROUPS
    }
    teacher = tuple(_seen_dice(records, key) if test else None for key in ("teacher_before", "teacher"))
    seconds = statistics.fmean(cost_of(record, BY_KEY[METHOD])[1] for record in records)
    return AblationRow(
        name,
        mean_over(scores),
        gains,
        len(costs),
        mean_cost(costs),
        (teacher[0], teacher[1]),
        tests,
        seconds,
        len(records),
    )


def validation_dice(record: Record, arm: str) -> float | None:
    """Return the mean Dice of the source sites' validation parts at an arm's selected round, in percent."""
    found = (record.mapping("selected").get(arm) or {}).get("validation_dice")
    return None if found is None else 100.0 * float(found)


def validation_gain(record: Record, baseline: str) -> float | None:
    """Return DSFedMed's validation Dice minus a baseline's, in points; None where one is not there."""
    ours, theirs = validation_dice(record, METHOD), validation_dice(record, baseline)
    return None if ours is None or theirs is None else ours - theirs


def test_difference(records: Sequence[Record], baseline: str, group: str) -> Interval | None:
    """Return the difference in test Dice, points, with its interval over cases and seeds; None without test figures."""
    by_site: dict[tuple[str, str], list[Stratum]] = defaultdict(list)
    for record in records:
        for site in record.sites if group == "seen" else record.unseen:
            pair = [record.cases.get(method, {}).get(site) for method in (METHOD, baseline)]
            if pair[0] is None or pair[1] is None:
                return None
            ours, theirs = stratum(pair[0], "dice"), stratum(pair[1], "dice")
            values = tuple(a - b for a, b in zip(ours.values, theirs.values, strict=True))
            by_site[", ".join(record.unseen), site].append(Stratum(values, ours.cases))
    strata = [
        SeededStratum(fold, tuple(each.values for each in seeds), seeds[0].cases)
        for (fold, _), seeds in sorted(by_site.items())
    ]
    return seeded_interval(strata, derive_seed(0, "ablation", baseline, group)) if strata else None


def _seen_dice(records: Sequence[Record], method: str) -> float | None:
    values = [
        value
        for record in records
        for site in record.sites
        for value in stratum(record.cases.get(method, {}).get(site, []), "dice").values
    ]
    return statistics.fmean(values) if values else None
