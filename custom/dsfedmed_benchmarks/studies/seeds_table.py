# SPDX-License-Identifier: Apache-2.0
"""Several runs in one markdown table: mean over seeds, standard deviation, both comparisons."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from dsfedmed.methods import MODELS
from dsfedmed.reporting.methods import baselines, display_name, versus

COMPARISONS = {"equal_rounds": "at equal rounds", "equal_steps": "at equal gradient steps"}
GROUPS = ("seen", "unseen")
Results = dict[str, Any]
Group = tuple[str, str, tuple[str, ...], tuple[str, ...]]


def markdown_table(runs: Sequence[Results]) -> str:
    """Return one section per workflow, preset and unseen site: methods, comparisons and which runs they come from.

    Means and sample standard deviations are over seeds (one value a run). An incomplete run is named
    but left out: its figures are not comparable.
    """
    groups: dict[Group, list[Results]] = {}
    for run in runs:
        groups.setdefault((run["method"], run["preset"], tuple(run["unseen"]), tuple(run["sites"])), []).append(run)
    return "\n\n".join("\n".join(_section(group, found)) for group, found in groups.items()) + "\n"


def _section(group: Group, runs: list[Results]) -> list[str]:
    """Lines of one group."""
    method, preset, unseen, sites = group
    complete = [run for run in runs if run["verdict"] == "complete"]
    seeds = [run["seed"] for run in complete]
    unseen_text = ", ".join(unseen) or "none"
    lines = [
        f"### {display_name(method)}, preset {_cell(preset)}: unseen {_cell(unseen_text)}",
        "",
        f"Trained on {_cell(', '.join(sites))}. Mean over seeds ± standard deviation; "
        f"seeds: {', '.join(map(str, seeds)) or 'none'}.",
        "",
        *_method_lines(complete),
        "",
        *_comparison_lines(complete),
    ]
    for run in runs:
        if run["verdict"] != "complete":
            lines += ["", f"Left out: {_cell(run['name'])} (seed {run['seed']}), {_cell(run['verdict'])}."]
    if len(set(seeds)) != len(seeds):
        lines += ["", "A seed occurs more than once: the deviation is then not over seeds alone."]
    return lines


def _method_lines(runs: list[Results]) -> list[str]:
    """Return the table of methods."""
    columns = ("seen_dice", "unseen_dice", "seen_iou", "unseen_iou", "seen_hd95", "unseen_hd95")
    lines = [
        "| method | Dice seen (%) | Dice unseen (%) | IoU seen (%) | IoU unseen (%) | HD95 seen (px) "
        "| HD95 unseen (px) |",
        "|---|---|---|---|---|---|---|",
    ]
    for method in MODELS:
        found = [run["methods"][method.key] for run in runs if method.key in run["methods"]]
        if found:
            cells = (_mean_std([entry[column] for entry in found], len(runs)) for column in columns)
            lines.append(f"| {method.name} | {' | '.join(cells)} |")
    return lines


def _comparison_lines(runs: list[Results]) -> list[str]:
    """Return the table of paired Dice differences."""
    lines = ["| comparison (Dice, points) | seen | unseen | seeds better unseen |", "|---|---|---|---|"]
    for key, budget in COMPARISONS.items():
        pairs = {
            versus(run["method"], baselines(run["method"])[key]) for run in runs if key in baselines(run["method"])
        }
        if runs and not pairs:
            continue
        name = f"{' / '.join(sorted(pairs)) or 'method - baseline'} {budget}"
        found = [run["comparisons"][key] for run in runs if run["comparisons"][key]]
        values = {
            group: [entry[group]["dice"]["mean"] if entry[group] else None for entry in found] for group in GROUPS
        }
        unseen = [value for value in values["unseen"] if value is not None]
        cells = [_mean_std(values[group], len(runs), signed=True) for group in GROUPS]
        better = f"{sum(value > 0 for value in unseen)} of {len(unseen)}" if unseen else "-"
        lines.append(f"| {name} | {' | '.join(cells)} | {better} |")
    return lines


def _mean_std(values: Iterable[float | None], runs: int, signed: bool = False) -> str:
    """Mean ± sample standard deviation; the number of runs is said when some lack the value."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    text = f"{statistics.fmean(known):{'+' if signed else ''}.1f}"
    if len(known) > 1:
        text += f" ± {statistics.stdev(known):.1f}"
    return text if len(known) == runs else f"{text} ({len(known)} of {runs} runs)"


def _cell(text: str) -> str:
    """Text that cannot break a markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")
