# SPDX-License-Identifier: Apache-2.0
"""What happened over the rounds: curves, learnability, and events."""

from __future__ import annotations

from typing import Any

from dsfedmed.reporting.figures.curves import curve_charts
from dsfedmed.reporting.figures.learnability import learnability_charts
from dsfedmed.reporting.page.html import Section, chart_figure, join, note, nothing, table, tag
from dsfedmed.reporting.record import Record


def curves(record: Record) -> Section:
    """Return the curves over rounds and training steps."""
    charts = curve_charts(record.mapping("curves"), record.mapping("selected"))
    body = (
        chart_figure(
            charts, "Thick: mean over the source sites; faint: each site; ring: the round that validation chose."
        ),
        note(
            "Dice on the images that each hospital keeps for validation. Compare methods where their curves are flat: "
            "while FedAvg still climbs, any extra training looks like a "
            "gain. The Dice axis starts at most 40 points below the best."
        ),
    )
    return Section("curves", "Over the rounds", join(body))


def learnability(record: Record) -> Section:
    """Return the pool's scores, losses and selection over time."""
    entries = record.entries("learnability")
    if not entries:
        return Section("learnability", "Learnability over time", nothing("No scoring round was recorded."))
    last = entries[-1]
    share = (
        f"Last scoring (round {last.get('round', '-')}): "
        f"{last.get('selected', '-')} of {last.get('pool', '-')} samples selected."
    )
    body = (
        note(
            "How much there is to learn from a synthetic image: the teacher knows it, and the light network does not "
            "yet. ",
            "s = \N{GREEK SMALL LETTER LAMDA}\N{MIDDLE DOT}(\N{MINUS SIGN}loss of the teacher) + (1 \N{MINUS SIGN} "
            "\N{GREEK SMALL LETTER LAMDA})\N{MIDDLE DOT}disagreement. ",
            share,
        ),
        chart_figure(learnability_charts(entries), "Scores: share of the pool per score, darker is more."),
    )
    return Section("learnability", "Learnability over time", join(body))


def events(results: dict[str, Any]) -> Section:
    """Return who was missing, what was refused and what went wrong."""
    found = results["events"]
    if not found:
        body = note("Nothing to report: no site was missing and nothing was refused.")
        return Section("events", "Events", join((body,)))
    rows = [
        (
            (event["time"] or "")[:19].replace("T", " "),
            tag("span", event["kind"], css=f"kind {event['kind'] if event['kind'].isalpha() else 'info'}"),
            event["site"] or "-",
            event["stage"] or "-",
            "-" if event["round"] is None else event["round"],
            event["message"],
        )
        for event in found
    ]
    return Section(
        "events", "Events", table(("Time", "Kind", "Site", "Stage", "Round", "What happened"), rows, numbers=False)
    )
