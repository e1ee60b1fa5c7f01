# SPDX-License-Identifier: Apache-2.0
"""The table of a tuned comparison: each arm by rounds, then the method minus the best-tuned baseline."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from dsfedmed.reporting.units import byte_text
from dsfedmed_benchmarks.studies.benchmark import mean_text
from dsfedmed_benchmarks.studies.tuned.outcomes import ArmResult, best_of

Cell = tuple[str, int]
"""Held-out site and rounds."""
HEAD = (
    "| rounds | arm | chosen point | validation | seen | unseen | each site | steps | MiB a site | in all | seconds |"
)


def tuned_rounds_markdown(found: Mapping[Cell, Sequence[ArmResult]], lacking: Sequence[str]) -> str:
    """Return the whole page."""
    lines = ["# Few rounds, every arm tuned alike", ""]
    for unseen in dict.fromkeys(unseen for unseen, _ in found):
        lines += [f"## `{unseen}` held out", "", HEAD, f"|{'---|' * (HEAD.count('|') - 1)}"]
        cells = {rounds: results for (site, rounds), results in found.items() if site == unseen}
        for rounds in sorted(cells):
            lines += [_line(result) for result in cells[rounds] if result.outcomes]
        lines += ["", *_differences(cells), ""]
        lines += [*_tried([result for rounds in sorted(cells) for result in cells[rounds]]), ""]
    if lacking:
        lines += ["Not run, or not complete:", "", *(f"- {name}" for name in lacking), ""]
    lines += [
        "Dice in percent on the test parts, mean of the sites' means; ± is half of the 95 % t interval over seeds.",
        "Points are chosen with the first seed by the source sites' validation. Steps are gradient steps of the light",
        'network, sites and server together. "In all" counts base, branch and set, where an arm needs them.',
        "",
    ]
    return "\n".join(lines)


def _line(result: ArmResult) -> str:
    outcomes = list(result.outcomes.values())
    moved, every = (round(getattr(outcomes[0], name)) for name in ("round_bytes", "bytes"))
    if result.arm.kind == "bound":
        moved = every = 0
    cells = [
        str(result.rounds), result.arm.name, result.arm.shown(result.point) or "-",
        *(mean_text(result.mean(name)) for name in ("validation", "seen", "unseen")),
        _each_site(result), str(outcomes[0].steps),
        byte_text(moved) if moved else "-", byte_text(every) if every else "-", str(round(outcomes[0].seconds)),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _tried(results: Sequence[ArmResult]) -> list[str]:
    """Return the table of every point that was tried, the chosen ones in bold."""
    lines = ["| rounds | arm | every point that was tried | validation |", "|---|---|---|---|"]
    for result in results:
        for point, validation in enumerate(result.tried):
            mark = "**" if point == result.point else ""
            shown = result.arm.shown(point) or "-"
            lines.append(f"| {result.rounds} | {result.arm.name} | {shown} | {mark}{validation:.1f}{mark} |")
    return lines if len(lines) > 2 else []


def _each_site(result: ArmResult) -> str:
    """Return the mean Dice of every site over the seeds."""
    outcomes = list(result.outcomes.values())
    names = [site for site in outcomes[0].per_site if all(site in outcome.per_site for outcome in outcomes)]
    return ", ".join(f"{name} {statistics.fmean(o.per_site[name] for o in outcomes):.1f}" for name in names) or "-"


def _differences(cells: Mapping[int, Sequence[ArmResult]]) -> list[str]:
    """Return the table of the method's best arm by validation minus every baseline.

    Where a site left, validation speaks of those that stayed alone, so that it chooses no baseline to be held against.
    """
    lines = []
    longest = best_of(cells[max(cells)], "baseline")
    for rounds in sorted(cells):
        ours = best_of(cells[rounds], "method")
        theirs = [result for result in cells[rounds] if result.arm.kind == "baseline" and result.outcomes]
        others = {(each.arm.key, each.rounds): each for each in (*theirs, longest) if each is not None}
        for other in others.values():
            if ours is not None:
                figures = [mean_text(ours.minus(other, name), signed=True) for name in ("seen", "unseen")]
                lines.append(
                    f"| {ours.arm.name}, {rounds} | {other.arm.name}, {other.rounds} | {' | '.join(figures)} |"
                )
    lines += _room(cells)
    head = ["| method, rounds | minus baseline, rounds | seen | unseen |", "|---|---|---|---|"]
    return [*head, *lines] if lines else []


def _room(cells: Mapping[int, Sequence[ArmResult]]) -> list[str]:
    """Return the lines of the room: all images in one place minus the best baseline."""
    lines = []
    for rounds in sorted(cells):
        bound, theirs = best_of(cells[rounds], "bound"), best_of(cells[rounds], "baseline")
        if bound is not None and theirs is not None:
            figures = [mean_text(bound.minus(theirs, name), signed=True) for name in ("seen", "unseen")]
            names = f"| room: {bound.arm.name}, {rounds} | {theirs.arm.name}, {rounds} |"
            lines.append(f"{names} {' | '.join(figures)} |")
    return lines
