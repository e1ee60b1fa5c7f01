# SPDX-License-Identifier: Apache-2.0
"""The comparisons: the run's method minus its baseline at equal rounds, and at equal gradient steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dsfedmed.evaluation.intervals import paired_difference
from dsfedmed.evaluation.metrics import METRICS
from dsfedmed.reporting.methods import baselines
from dsfedmed.reporting.record import Record
from dsfedmed.reporting.summary import rounded, stratum
from dsfedmed.seeds import derive_seed

BUDGETS = ("equal_rounds", "equal_steps")


def comparisons_block(record: Record) -> dict[str, Any]:
    """Return results.json's ``comparisons``; a comparison whose methods are not both there and trained is None."""
    wanted = baselines(record.method)
    return {name: _comparison(record, wanted[name]) if name in wanted else None for name in BUDGETS}


def _comparison(record: Record, baseline: str) -> dict[str, Any] | None:
    """Paired differences against one baseline, per site, seen and unseen."""
    if record.method not in record.cases or baseline not in record.cases:
        return None
    if {record.method, baseline} & set(record.untrained):
        return None  # what is better than an untrained start is not better than the method that was to train it
    return {
        "method": record.method,
        "baseline": baseline,
        "budget": {"method": _budget(record, record.method), "baseline": _budget(record, baseline)},
        "seen": differences(record, record.method, baseline, record.sites),
        "unseen": differences(record, record.method, baseline, record.unseen),
        "per_site": {site: differences(record, record.method, baseline, (site,)) for site in record.all_sites},
    }


def differences(
    record: Record, method: str, baseline: str, sites: tuple[str, ...], metrics: Sequence[str] = METRICS
) -> dict[str, Any] | None:
    """Difference of each metric over the images of ``sites``; None unless both models scored the same images."""
    ours, theirs = record.cases[method], record.cases[baseline]
    if not sites or any(len(ours.get(site, ())) != len(theirs.get(site, ())) or site not in ours for site in sites):
        return None
    found = {}
    for metric in metrics:
        left, right = ([stratum(method[site], metric) for site in sites] for method in (ours, theirs))
        found[metric] = rounded(paired_difference(left, right, derive_seed(record.seed, "difference", metric)))
    return found


def _budget(record: Record, method: str) -> dict[str, int | None]:
    """Return what a method was given and what was taken: rounds, and gradient steps, summed over the sites.

    The record's ``budgets`` counts; without it, the method's last curve point does.
    """
    given = record.mapping("budgets").get(method)
    if given is None:
        points = record.mapping("curves").get(method) or [{}]
        given = {"rounds": points[-1].get("round"), "local_steps": points[-1].get("local_steps")}
    selected = record.mapping("selected").get(method) or {}
    return {
        "rounds": given.get("rounds"),
        "local_steps": given.get("local_steps"),
        "selected_round": selected.get("round"),
        "selected_local_steps": selected.get("local_steps"),
    }
