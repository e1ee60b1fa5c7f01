# SPDX-License-Identifier: Apache-2.0
"""Test figures per method: percent and pixels, per site, seen and unseen, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dsfedmed.evaluation.intervals import Interval, Stratum, mean_interval
from dsfedmed.evaluation.metrics import METRICS, CaseMetrics
from dsfedmed.methods import MODELS
from dsfedmed.reporting.record import Record
from dsfedmed.seeds import derive_seed

SCALE = {"dice": 100.0, "iou": 100.0, "hd95": 1.0}  # fractions become percent, pixels stay pixels


def methods_block(record: Record) -> dict[str, Any]:
    """Return results.json's ``methods``: one entry for every method that has any test figures."""
    return {method.key: _method(record, record.cases[method.key]) for method in MODELS if record.cases.get(method.key)}


def detected_block(record: Record) -> dict[str, Any]:
    """Return results.json's ``detected``: for each model, site and class, missed lesions and false alarms."""
    found = record.mapping("detected")
    return {
        method.key: {
            site: _with_absent(counts, len(record.cases[method.key][site]))
            for site, counts in found[method.key].items()
            if counts and site in record.cases.get(method.key, {})
        }
        for method in MODELS
        if found.get(method.key)
    }


def cross_block(record: Record) -> dict[str, Any]:
    """Return results.json's ``cross_site``: mean Dice in percent by model, network's site and test images' site."""
    found = record.mapping("cross_site")
    return {
        model.key: {
            site: {other: round(SCALE["dice"] * dice, 4) for other, dice in row.items()}
            for site, row in found[model.key].items()
        }
        for model in MODELS
        if found.get(model.key)
    }


def _with_absent(counts: list[dict[str, int]], images: int) -> list[dict[str, int]]:
    return [{**found, "absent": images - found["present"]} for found in counts]


def stratum(cases: Sequence[CaseMetrics], metric: str) -> Stratum:
    """Return one site's values of a metric (mean over classes, in the results' unit) with their patients."""
    values = tuple(SCALE[metric] * _class_mean(getattr(case, metric)) for case in cases)
    numbers = [case.case for case in cases if case.case is not None]
    return Stratum(values, tuple(numbers) if len(numbers) == len(cases) else None)


def rounded(interval: Interval) -> dict[str, Any]:
    """Return an interval as JSON with four decimals, so that a rebuilt file is the same file."""
    return {
        "mean": round(interval.mean, 4),
        "low": round(interval.low, 4),
        "high": round(interval.high, 4),
        "n": interval.n,
        "cases": interval.cases,
    }


def _method(record: Record, by_site: dict[str, list[CaseMetrics]]) -> dict[str, Any]:
    """Figures of one method."""
    per_site = {site: _site(by_site[site], record.seed) for site in record.all_sites if site in by_site}
    block: dict[str, Any] = {"per_site": per_site}
    for group, sites in (("seen", record.sites), ("unseen", record.unseen)):
        block[group] = _group(by_site, sites, record.seed)
        for metric in METRICS:
            block[f"{group}_{metric}"] = block[group][metric]["mean"] if block[group] else None
    return block


def _site(cases: list[CaseMetrics], seed: int) -> dict[str, Any]:
    """Mean, interval and per-class means of one site, each metric."""
    return {metric: {**_interval([cases], metric, seed), "per_class": _per_class(cases, metric)} for metric in METRICS}


def _group(by_site: dict[str, list[CaseMetrics]], sites: tuple[str, ...], seed: int) -> dict[str, Any] | None:
    """Mean over all images of several sites; None unless every one of them was tested."""
    if not sites or any(site not in by_site for site in sites):
        return None  # a mean over some of the sites would not be comparable with the others' means
    chosen = [by_site[site] for site in sites]
    return {metric: {**_interval(chosen, metric, seed), "site_mean": _site_mean(chosen, metric)} for metric in METRICS}


def _interval(strata: Sequence[list[CaseMetrics]], metric: str, seed: int) -> dict[str, Any]:
    """Mean over all images with its interval."""
    return rounded(mean_interval([stratum(cases, metric) for cases in strata], derive_seed(seed, "interval", metric)))


def _site_mean(strata: Sequence[list[CaseMetrics]], metric: str) -> float:
    """Mean of the sites' means: every site counts the same."""
    return round(_class_mean([_class_mean(stratum(cases, metric).values) for cases in strata]), 4)


def _per_class(cases: list[CaseMetrics], metric: str) -> list[float]:
    """Mean over images of each class."""
    columns = zip(*(getattr(case, metric) for case in cases), strict=True)
    return [round(SCALE[metric] * _class_mean(column), 4) for column in columns]


def _class_mean(values: Sequence[float]) -> float:
    """Plain mean."""
    return sum(values) / len(values)
