# SPDX-License-Identifier: Apache-2.0
"""The table of a study, from its records."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from dsfedmed_benchmarks.measurement.table import Benchmark, Cell
from dsfedmed_benchmarks.private_branch.study import CLIPPED, LIGHT, PLAIN, UNFITTED, Kind, Options, SiteStudy

COLUMNS = ("site", "patients", "branch", "epsilon spent", "delta", "noise multiplier", "Dice (%)", "lost", "least seed",
           "most", "AUC of the loss attack (95 %)")  # fmt: skip


def kinds_of(epsilons: Sequence[float]) -> list[Kind]:
    """Return the rows of a site: controls first, then epsilons from loose to tight."""
    controls = [Kind(PLAIN), Kind(UNFITTED), Kind(CLIPPED)]
    return controls + [Kind(f"epsilon {epsilon:g}", epsilon) for epsilon in sorted(epsilons, reverse=True)]


def run(options: Options, sites: Sequence[str], epsilons: Sequence[float], say: Callable[[str], None]) -> Benchmark:
    """Fit and score every way at every site, or read what is there; return the table."""
    kinds, rows = kinds_of(epsilons), list[tuple[Cell, ...]]()
    for site in sites:
        study = SiteStudy(options, site, say)
        records = [study.record(kind) for kind in kinds]
        say(f"{site}: {sum(record['all_s'] for record in records) / 60:.0f} minutes in all")
        rows += [row(record, records[0]) for record in records]
    return Benchmark("dp_branch", "What differential privacy of the branch costs", COLUMNS, rows, _notes(options))


def row(record: dict[str, Any], plain: dict[str, Any]) -> tuple[Cell, ...]:
    """Return one row; what is lost is against the branch without privacy."""
    dice, area = [100 * value for value in record["dice"]], record["auc"]
    lost = 100 * statistics.fmean(plain["dice"]) - statistics.fmean(dice)
    return (
        record["site"],
        record["patients"],
        record["name"],
        record.get("spent"),
        record.get("delta") if record.get("spent") else None,
        record.get("noise_multiplier"),
        round(statistics.fmean(dice), 1),
        None if record is plain else round(lost, 1),
        round(min(dice), 1),
        round(max(dice), 1),
        "{:.2f} ({:.2f} to {:.2f})".format(*area),
    )


def _notes(options: Options) -> tuple[str, ...]:
    steps, share = LIGHT.steps, options.people
    return (
        f"Dice: a light network trained for {steps} steps on {options.pairs} images drawn from the branch, on nothing "
        f"else, on the site's test images at their own size; mean, least and most of {options.seeds} such networks.",
        f"Without privacy {options.plain_steps} steps of 16 images. Private, and clipped without noise: "
        f"{options.steps} steps that draw {share} patients in the mean (all of a smaller site), {options.draws} noise "
        f"and timestep each, gradients cut to {options.bound:g}, Adam at {options.rate:g}. Not fitted: the base alone "
        "under a branch that changes nothing.",
        "The base has seen public images alone, so that epsilon is of all that the branch tells of a patient. "
        "Neighbours differ by a patient. The masks to draw with are deformed ones of the site, not private.",
        "The loss attack is that of `privacy-attacks` (training images against validation and test); 0.5 is chance.",
    )
