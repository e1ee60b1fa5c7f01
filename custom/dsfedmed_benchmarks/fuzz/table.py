# SPDX-License-Identifier: Apache-2.0
"""Outcomes of many damaged files as one table, a row a format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dsfedmed_benchmarks.fuzz.damaged import damaged
from dsfedmed_benchmarks.fuzz.seeds import all_seeds
from dsfedmed_benchmarks.fuzz.trial import FAULTS, OUTCOMES
from dsfedmed_benchmarks.fuzz.watch import SECONDS, watched
from dsfedmed_benchmarks.fuzz.worker import BOUND_MIB, Report
from dsfedmed_benchmarks.measurement.readers import reader_versions
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment

COLUMNS = ("format", "valid files", "damaged", *OUTCOMES, "most memory above the start (MiB)", "slowest (s)")
MOST_NAMED = 40


@dataclass(frozen=True)
class Trial:
    """One damaged file and its report; ``kind`` is its format, ``seed`` and ``damage`` say how it came to be."""

    number: int
    kind: str
    seed: str
    damage: str
    report: Report

    @property
    def is_fault(self) -> bool:
        """Whether anything but reading or a refusal came of it."""
        return self.report.outcome.kind in FAULTS

    def described(self) -> str:
        """Return the trial in one line."""
        outcome = self.report.outcome
        return f"{self.number} ({self.seed}, {self.damage}): {outcome.kind}, {outcome.text}"


def run_trials(numbers: Sequence[int], seed: int, say: Callable[[str], None]) -> list[Trial]:
    """Read the damaged files of these numbers; ``say`` gets a line for each fault."""
    trials = []
    for number, report in watched(numbers, seed):
        found = damaged(number, seed)
        trial = Trial(number, found.seed.kind, found.seed.name, found.damage, report)
        trials.append(trial)
        if trial.is_fault:
            say(trial.described())
    return trials


def table_of(trials: Sequence[Trial], seed: int, name: str) -> Benchmark:
    """Return the table: a row a format and one for all, faults among the notes."""
    kinds = list(dict.fromkeys(one.kind for one in all_seeds()))
    rows = [_row(kind, [trial for trial in trials if trial.kind == kind]) for kind in kinds]
    faults = [trial.described() for trial in trials if trial.is_fault]
    named = [*faults[:MOST_NAMED], *([f"{len(faults) - MOST_NAMED} more"] if len(faults) > MOST_NAMED else [])]
    return Benchmark(
        name,
        "Damaged files: what reading each of them comes to",
        COLUMNS,
        [*(row for row in rows if row[2]), _row("all", list(trials))],
        (
            "Each file is read as image and as label, by its header alone and with one and two classes; of a datalist "
            "all problems are collected. Read: the picture can be used. Refused: one line that names the file, the "
            "reason and a fix. Traceback: any other exception, a refusal without these, values outside [0, 1], or a "
            "header that says another size than is read.",
            "Misread: a file that was cut is read, and not all of its pixels come.",
            f"Hang: over {SECONDS:.0f} s. Crash: the process died. Memory: more than {BOUND_MIB:,.0f} MiB above what "
            "the process had before.",
            "Damage: bytes changed, cut, header numbers and numbers in text set to something else, pieces doubled, "
            "removed or zeroed, the start of another format; behind the check sums of gzip and PNG as well.",
            f"Seed {seed}; one file again: `python -m dsfedmed_benchmarks fuzz-files --seed {seed} --only NUMBER`.",
            *(f"Fault {text}" for text in named),
        ),
        environment(**reader_versions()),
    )


def _row(kind: str, trials: Sequence[Trial]) -> list[Cell]:
    counts = Counter(trial.report.outcome.kind for trial in trials)
    seeds = [seed for seed in all_seeds() if kind in ("all", seed.kind)]
    memory = max((trial.report.above_mib for trial in trials), default=0.0)
    slowest = max((trial.report.seconds for trial in trials), default=0.0)
    return [kind, len(seeds), len(trials), *(counts[outcome] for outcome in OUTCOMES), memory, slowest]
