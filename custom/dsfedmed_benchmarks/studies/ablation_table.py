# SPDX-License-Identifier: Apache-2.0
"""An ablation as markdown: what each change does to DSFedMed's lead over FedAvg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dsfedmed.evaluation.intervals import Interval
from dsfedmed.reporting.units import seconds_text
from dsfedmed_benchmarks.studies.ablation import BUDGETS, GROUPS, AblationRow
from dsfedmed_benchmarks.studies.benchmark import mean_text

BUDGET_NAMES = {"equal_rounds": "equal rounds", "equal_steps": "equal steps"}
NOTE = (
    "Validation: mean Dice of the source sites' validation parts at the round that they select, percent; its gains are "
    "DSFedMed minus FedAvg of the same run, points, mean over runs ± half of the 95 % t interval (none for one run). "
    "FedAvg's best reached: in how many runs DSFedMed's validation Dice comes to that of FedAvg at equal steps, and "
    "after what share of the rounds and of the bytes that FedAvg needs for it, generators included. "
    "Time: DSFedMed's own stages."
)
TEST_NOTE = "Test: the same differences on the test parts, with 95 % bootstrap intervals over patients and seeds."


def ablation_markdown(rows: Sequence[AblationRow], lacking: Mapping[str, int], test: bool = False) -> str:
    """Return the table, how to read it, and which rows have runs to be made.

    Args:
        rows: in the table's order.
        lacking: runs that are not complete, by the row's name; a row without any need not be there.
        test: with the columns of test figures.
    """
    head = [
        "change",
        "validation Dice",
        *(f"gain at {BUDGET_NAMES[budget]}" for budget in BUDGETS),
        "FedAvg's best reached",
    ]
    if test:
        head += [f"test, {group}, {BUDGET_NAMES[budget]}" for budget in BUDGETS for group in GROUPS]
        head += ["teacher before, after"]
    head += ["time", "runs"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(_line(row, test) for row in rows)]
    lines += ["", f"{NOTE} {TEST_NOTE}" if test else NOTE]
    if to_make := [f"{name} ({count})" for name, count in lacking.items() if count]:
        lines += ["", f"Runs that are not complete: {'; '.join(to_make)}."]
    return "\n".join(lines) + "\n"


def _line(row: AblationRow, test: bool) -> str:
    cells = [row.name.replace("|", "\\|"), mean_text(row.validation)]
    cells += [mean_text(row.gains[budget], signed=True) for budget in BUDGETS]
    cells += [_cost_text(row)]
    if test:
        cells += [_interval_text(row.tests[budget, group]) for budget in BUDGETS for group in GROUPS]
        cells += [", ".join("-" if dice is None else f"{dice:.1f}" for dice in row.teacher)]
    return f"| {' | '.join([*cells, seconds_text(row.seconds), str(row.runs)])} |"


def _interval_text(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval.mean:+.1f} [{interval.low:+.1f}, {interval.high:+.1f}]"


def _cost_text(row: AblationRow) -> str:
    share = f"{row.reached} of {row.runs}"
    spent = row.cost and f"{100 * row.cost.rounds:.0f} % of the rounds, {100 * row.cost.bytes:.0f} % of the bytes"
    return f"{share}: {spent}" if spent else share
