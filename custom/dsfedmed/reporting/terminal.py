# SPDX-License-Identifier: Apache-2.0
"""The summary that a run and ``dsfedmed report`` print."""

from __future__ import annotations

from typing import Any

from dsfedmed.errors import one_line
from dsfedmed.methods import MODELS
from dsfedmed.reporting.advice.words import remarks
from dsfedmed.reporting.methods import baselines, not_compared, versus
from dsfedmed.reporting.units import byte_text, change_text, signed_interval_text

COMPARISONS = {"equal_rounds": "at equal rounds", "equal_steps": "at equal training steps"}


def summary_text(results: dict[str, Any]) -> str:
    """Return the table of methods, both comparisons and the byte ledger as plain text."""
    sites = [*results["sites"], *results["unseen"]]
    lines = [
        f"{results['name']}: {results['verdict']} (preset {results['preset']}, seed {results['seed']}, "
        f"unseen {', '.join(results['unseen']) or 'none'})",
        "",
        *_methods(results, sites),
        "",
        *_comparisons(results),
        _bytes(results["bytes"]),
    ]
    if results["missing"]:
        lines += ["", "Missing:", *(f"  {what}" for what in results["missing"])]
    lines += ["", results["advice"]["sentence"], *remarks(results)]
    return "\n".join(map(one_line, lines))  # a record may come from elsewhere


def _methods(results: dict[str, Any], sites: list[str]) -> list[str]:
    """Dice in percent by method: each site, seen and unseen."""
    head = ["Dice, %", *sites, "seen", "unseen"]
    rows = [head]
    for method in MODELS:
        entry = results["methods"].get(method.key)
        if entry is not None:
            dice = [entry["per_site"].get(site, {}).get("dice", {}).get("mean") for site in sites]
            values = [*dice, entry["seen_dice"], entry["unseen_dice"]]
            rows.append([method.name, *("-" if value is None else f"{value:.1f}" for value in values)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    text = [
        "  ".join(
            f"{cell:<{w}}" if not c else f"{cell:>{w}}" for c, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return [text[0], "-" * len(text[0]), *text[1:]]


def _comparisons(results: dict[str, Any]) -> list[str]:
    """One line per comparison."""
    lines = []
    for key, name in COMPARISONS.items():
        found, baseline = results["comparisons"][key], baselines(results["method"]).get(key)
        if baseline is None:
            continue
        pair = versus(results["method"], baseline)
        if found is None:
            lines.append(f"{pair} {name}: {not_compared(results, baseline)}")
            continue
        parts = [
            f"{group} {signed_interval_text(found[group]['dice'])}" for group in ("seen", "unseen") if found[group]
        ]
        lines.append(f"{pair} {name}: {', '.join(parts) or 'not on the same images'} (Dice points, 95 %)")
    return lines


def _bytes(block: dict[str, Any]) -> str:
    """One line for the ledger."""
    text = f"Between server and sites: {byte_text(block['up'])} up, {byte_text(block['down'])} down"
    if not block["fedsam_same_format"] or block["reduction_same_format"] is None:
        return text
    in_form = f"{byte_text(block['fedsam_same_format'])} in {block['number_format']} too"
    return f"{text}; that is {change_text(block['reduction_same_format'], 'FedSAM would have')} ({in_form})"
