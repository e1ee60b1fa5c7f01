# SPDX-License-Identifier: Apache-2.0
"""A plan in plain words and tables, for a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from textwrap import wrap

from dsfedmed.methods import uses_teacher
from dsfedmed.planning.asks import decisions
from dsfedmed.planning.fingerprint import ClassFingerprint, SiteFingerprint
from dsfedmed.planning.plan import Plan
from dsfedmed.planning.times import HIGH, LOW
from dsfedmed.planning.traffic import beside
from dsfedmed.reporting.units import byte_text, count_text, seconds_text, signed

WIDTH = 110
BUSY = 1.3
"""How many times as long as alone a calibration takes on a machine that is said to be busy."""
LIKENESS = {
    "opposite": "contrasts of opposite sign",
    "far_apart": "one sign of contrast, far apart",
    "alike": "alike",
    "unknown": "unknown",
}


def plan_text(plan: Plan) -> str:
    """Return the plan as text."""
    parts = (_sites(plan), _help(plan), _proposal(plan), _times(plan), _bytes(plan), _machine(plan), _asked(plan))
    return "\n\n".join("\n".join(part) for part in parts)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of equal length as lines with aligned columns; the first row is the header."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def range_text(seconds: float) -> str:
    """Return an estimate of seconds with what it may be wrong by: "10 min 00 s (7 min 00 s to 15 min 00 s)"."""
    return f"{seconds_text(seconds)} ({seconds_text(LOW * seconds)} to {seconds_text(HIGH * seconds)})"


def _paragraph(text: str) -> list[str]:
    return wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")


def _sites(plan: Plan) -> list[str]:
    files = ("site", "train/val/test", "cases", "channels", "files", "sides (px)")
    content = ("site", "grey: mean, 5 to 95 %", "contrast of objects", "class: shown in, share of image, one object")
    return [
        "The sites",
        *columns([files, *map(_files, plan.sites)]),
        "",
        *columns([content, *map(_content, plan.sites)]),
    ]


def _files(site: SiteFingerprint) -> tuple[str, ...]:
    counts = "/".join(str(site.counts.get(part, 0)) for part in ("training", "validation", "test"))
    spacing = "" if site.spacing is None else f", {site.spacing[0]:.2g} x {site.spacing[1]:.2g} mm"
    sides = f"{site.sides[0]} x {site.sides[1]} ({site.shortest} to {site.longest}){spacing}"
    name = site.name if site.takes_part else f"{site.name} (held out)"
    return name, counts, str(site.cases), str(site.channels), " ".join(site.kinds), sides


def _content(site: SiteFingerprint) -> tuple[str, ...]:
    mean, _, low, high = site.grey
    contrast = "-"
    if site.contrast is not None and site.brighter is not None:
        contrast = f"{signed(site.contrast, 2)}, brighter in {100 * site.brighter:.0f} %"
    classes = "; ".join(_class(site, found) for found in site.classes)
    return site.name, f"{mean:.2f}, {low:.2f} to {high:.2f}", contrast, classes


def _class(site: SiteFingerprint, found: ClassFingerprint) -> str:
    across = "no object" if found.across is None else f"{found.across * site.longer_side:.0f} px"
    return f"{found.name} {100 * found.shown:.0f} %, {100 * found.share:.2g} %, {across}"


def _help(plan: Plan) -> list[str]:
    apart = plan.apart
    between = f" ({' and '.join(apart.pair)})" if apart.pair else ""
    distance = f"distance {apart.distance:.1f}{between}, {LIKENESS[apart.likeness]}"
    little = "This follows three real tasks, which prove little; it is no prediction."
    alone = [
        line
        for site, what in plan.unlike.items()
        for line in _paragraph(
            f"{site}, which is held out, is unlike every hospital that trains ({what}): expect a low result there, "
            "whichever method it is, unless a hospital like it takes part."
        )
    ]
    return ["Is DSFedMed likely to help here?", f"  {distance}", *_paragraph(f"{plan.helps} {little}"), *alone]


def _proposal(plan: Plan) -> list[str]:
    rows = [("setting", "value", "why"), *((c.key, str(c.value), c.reason) for c in plan.choices)]
    settings = plan.scene.settings
    used = "with these" if plan.laid else "as it was given"
    reckoned = (
        f"What follows is reckoned for {plan.method}, preset {settings.preset} {used}: {settings.image_size} px, "
        f"{settings.light.bundle}, {settings.rounds} rounds."
    )
    paste = f"  dsfedmed run {plan.method} {shlex.join(plan.options)} --out runs/first"
    given = "To paste:" if plan.laid else "To paste, with the preset as it was given:"
    taught = uses_teacher(plan.method)
    hint = _paragraph("Add --teacher FILE: without it the teacher begins with random weights.") if taught else []
    return ["Proposed settings (rules of thumb)", *columns(rows), given, paste, *hint, reckoned]


def _times(plan: Plan) -> list[str]:
    if plan.times is None or plan.calibration is None:
        return ["Time: not estimated without a calibration"]
    rows = [("stage", "this machine", "hospitals with one each", "")]
    for time in plan.times:
        seconds = (seconds_text(time.here(plan.workers)), seconds_text(time.at_hospitals))
        rows.append((time.stage, *seconds, "comparison" if time.comparison else ""))
    own, more = plan.seconds(comparison=False) or 0.0, plan.seconds(comparison=True) or 0.0
    took = seconds_text(plan.calibration.took)
    return [
        f"Time on a machine that does nothing else, {plan.workers} sites at a time ({plan.device})",
        f"  estimated from {took} of real steps here",
        *columns(rows),
        f"  {plan.method}: {range_text(own)}; the comparison beside it: {range_text(more)}",
        *_paragraph(
            "Starting and messages are not in it: NVFlare's simulator takes a minute or more to start (every site "
            "loads the libraries twice), and a run of small steps is mostly that. `--engine local` saves it."
        ),
        *_busy(plan.calibration.busy, own),
    ]


def _busy(factor: float, seconds: float) -> list[str]:
    """Say that other programs hold the machine up, where they do."""
    if factor < BUSY:
        return []
    return _paragraph(
        f"Other programs keep this machine busy: the calibration took {factor:.1f} times as long as it would have "
        f"alone. While that lasts, the method takes about {seconds_text(factor * seconds)}."
    )


def _bytes(plan: Plan) -> list[str]:
    rows = [("stage", "down", "up", "")]
    rows += [(t.stage, byte_text(t.down), byte_text(t.up), "comparison" if t.comparison else "") for t in plan.traffic]
    own = sum(t.down + t.up for t in plan.traffic if not t.comparison)
    others = beside(plan.scene, plan.numbers)
    form, rounds = plan.scene.settings.light.precision, plan.scene.compared_rounds
    held = ", ".join(f"{name} {byte_text(size)}" for name, size in others.items())
    return [
        f"Bytes of a site that takes part ({form})",
        *columns(rows),
        f"  {plan.method}: {byte_text(own)} in all; at {rounds} rounds: {held}",
    ]


def _machine(plan: Plan) -> list[str]:
    numbers = vars(plan.numbers).items()
    counted = ", ".join(f"{name.replace('_', '-')} {count_text(count)}" for name, count in numbers if count)
    peak = ""
    if plan.calibration is not None:
        where = "the card" if plan.device.startswith("cuda") else "one process"
        peak = f"; {byte_text(plan.calibration.memory)} at most for {where} in the calibration"
    return [
        "Memory and disk of this machine",
        f"  parameters: {counted}",
        f"  memory: {byte_text(plan.trained_memory)} for the largest network and its optimiser{peak}",
        f"  disk for the whole run here: about {byte_text(plan.disk)}",
    ]


def _asked(plan: Plan) -> list[str]:
    rows: list[tuple[str, ...]] = [
        ("hospital", "its machine's work", "with the comparison", "receives", "sends", "keeps on disk")
    ]
    for ask in plan.asked:
        known = ask.seconds is not None and ask.comparison_seconds is not None
        times = (ask.seconds or 0.0, (ask.seconds or 0.0) + (ask.comparison_seconds or 0.0))
        shown = [seconds_text(value) if known else "-" for value in times]
        rows.append((ask.site, *shown, byte_text(ask.down), byte_text(ask.up), byte_text(ask.disk)))
    decide = [line for text in decisions(plan.scene) for line in _paragraph(text)]
    return ["What it asks of each hospital", *columns(rows), "  To decide:", *decide]
