# SPDX-License-Identifier: Apache-2.0
"""The released round by the bounded mean of the sites' gains, against the plain mean, on the curves of records.

Every training of every record is gone through as the server does: a round is better where the sites' gains over the
best so far have a mean above 0. The bounded mean takes no site beyond what another one says, so that one site alone
cannot choose the round; what that costs where all are honest is what this table says, in validation Dice. Test figures
of other rounds than the released one are nobody's to look at.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dsfedmed.algorithms.robust.bounded_mean import bounded_mean
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment
from dsfedmed_benchmarks.studies.records import PackedRecords, tables

COLUMNS = ("records", "source sites", "trainings", "another round", "mean difference (points)", "largest loss (points)")
Rule = Callable[[Sequence[float]], float]
Curve = Sequence[Mapping[str, Any]]


def run(records: Path = Path("docs/results/records.tar.gz")) -> Benchmark:
    """Compare the two on all records.

    Args:
        records: the archive.
    """
    losses: dict[tuple[str, int], list[tuple[bool, float]]] = {}
    for table in tables(records):
        packed = PackedRecords(records, table)
        for name in packed.names():
            record = packed.load(name)
            for curve in (record.data["curves"] if record else {}).values():
                found = compared(curve)
                if found is not None:
                    sites, is_another, difference = found
                    losses.setdefault((table, sites), []).append((is_another, difference))
    rows: list[Sequence[Cell]] = [
        [table, sites, len(found), sum(other for other, _ in found),
         100 * statistics.fmean(loss for _, loss in found), 100 * min(loss for _, loss in found)]
        for (table, sites), found in sorted(losses.items())
    ]  # fmt: skip
    notes = (
        "Difference: the sites' mean validation Dice at the round that the bounded mean chooses, less that at the "
        "round that the plain mean chooses, which is the best there is by that measure.",
        "With one or two sites both are the same; with three the bounded mean is the median gain.",
    )
    return Benchmark("selection", "The released round: bounded mean against mean", COLUMNS, rows, notes, environment())


def compared(curve: Curve) -> tuple[int, bool, float] | None:
    """Return sites, whether the rounds differ and the difference in mean validation Dice; None without validation."""
    validated = [entry for entry in curve if entry["validation"]]
    if not validated:
        return None
    plain, bounded = chosen(validated, statistics.fmean), chosen(validated, bounded_mean)
    difference = statistics.fmean(bounded["validation"].values()) - statistics.fmean(plain["validation"].values())
    return len(plain["validation"]), plain["round"] != bounded["round"], difference


def chosen(curve: Curve, rule: Rule) -> Mapping[str, Any]:
    """Return the entry of the round that a rule chooses, in order of the rounds, over the sites that two both have."""
    best = curve[0]
    for entry in curve[1:]:
        now, before = entry["validation"], best["validation"]
        gains = [now[site] - before[site] for site in sorted(now.keys() & before.keys())]
        if gains and rule(gains) > 0:
            best = entry
    return best
