# SPDX-License-Identifier: Apache-2.0
"""The benchmark as markdown: every method, every claim, and what they are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dsfedmed.reporting.record import Record
from dsfedmed.reporting.units import byte_text, count_text, seconds_text
from dsfedmed_benchmarks.studies.benchmark import FIGURES, Fold, Row, Run, benchmark_rows, fold_of, mean_text
from dsfedmed_benchmarks.studies.benchmark_pairs import benchmark_pairs, pairs_markdown


def benchmark_markdown(runs: Sequence[Run], records: Sequence[Record]) -> str:
    """Return both tables, what they are made of, and which runs are not there.

    Args:
        runs: the complete ones.
        records: of all runs; those that are not complete are named.
    """
    rows = benchmark_rows(runs)
    folds = sorted({fold_of(record) for record, _ in runs})
    lines = [
        "| method | Dice seen (%) | Dice unseen (%) | IoU seen (%) | IoU unseen (%) | HD95 seen (px) "
        "| HD95 unseen (px) | bytes a site | training | parameters | ms an image | runs |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
        *(_line(row) for row in rows),
        "",
        *pairs_markdown(benchmark_pairs(runs)),
        "",
        "Mean over runs ± half of the 95 % t interval; a run is one held-out site and one seed, and a method without ± "
        "has one run. Differences are paired run by run. Bytes a site: up and down, all rounds, through NVFlare. "
        f"SAM-Fed's seen sites are the site of its labels and those without. Runs: {_folds_text(folds)}.",
        *_made_with([record for record, _ in runs]),
        *_not_the_same(rows, folds),
    ]
    for record in records:
        if not record.complete:
            lines += ["", f"Left out: {record.run.name}, {record.verdict}."]
    return "\n".join(lines) + "\n"


def _made_with(records: Sequence[Record]) -> list[str]:
    """Say with which presets, rounds and versions the runs were made, all that occur."""
    presets = {f"preset {record.data.get('preset', '?')} of {record.method}" for record in records}
    rounds = {f"{record.mapping('config').get('rounds', '?')} rounds" for record in records}
    versions = {f"{name} {version}" for record in records for name, version in record.mapping("versions").items()}
    said = [", ".join(sorted(facts)) for facts in (presets, rounds, versions) if facts]
    return ["", f"Made with {'; '.join(said)}."] if said else []


def _not_the_same(rows: Sequence[Row], folds: Sequence[Fold]) -> list[str]:
    """Say of methods that lack runs which ones they have: their means are not to be held against the others'."""
    lacking = [f"- {row.method.name}: {_folds_text(row.folds)}" for row in rows if set(row.folds) != set(folds)]
    if not lacking:
        return []
    return ["", "Some methods have fewer runs; compare them by their paired differences only:", "", *lacking]


def _folds_text(folds: Iterable[Fold]) -> str:
    return "; ".join(f"{unseen} held out, seed {seed}" for unseen, seed in folds) or "none"


def _line(row: Row) -> str:
    runs = max((mean.runs for mean in row.figures.values() if mean), default=0)
    cost = [
        "-" if not row.bytes_per_site else byte_text(round(row.bytes_per_site)),
        "-" if row.seconds is None else seconds_text(row.seconds),
        "-" if row.parameters is None else count_text(row.parameters),
        "-" if row.inference_ms is None else f"{row.inference_ms:.1f}",
    ]
    cells = [mean_text(row.figures[name]) for name in FIGURES]
    return f"| {row.method.name} | {' | '.join([*cells, *cost, str(runs)])} |"
