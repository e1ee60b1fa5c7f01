# SPDX-License-Identifier: Apache-2.0
"""The byte ledger: what went through NVFlare, per site, stage and direction, beside FedSAM's cost.

Only entries of purpose "method" are DSFedMed's cost; the comparison arms (FedAvg, FedSAM, gathering test
figures) are counted apart. FedSAM's equivalent is the teacher's fp32 parameters, up and down, for every
source site and round (the paper's Table 3 counts the same way, for one client).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dsfedmed.errors import StoreError
from dsfedmed.reporting.record import FIX, RECORD_NAME, Record

DIRECTIONS = ("up", "down")


def bytes_block(record: Record) -> dict[str, Any]:
    """Return results.json's ``bytes``."""
    entries = _entries(record)
    method = [entry for entry in entries if entry.get("purpose", "method") == "method"]
    total = _sums(method)
    equivalent = _fedsam(record)
    spent = total["up"] + total["down"]
    return {
        **total,
        "number_format": record.mapping("config").get("light", {}).get("precision"),
        "messages": sum(int(entry.get("messages") or 0) for entry in method),
        "per_site": _grouped(method, "site"),
        "per_stage": _grouped(method, "stage"),
        "comparison": _sums(entry for entry in entries if entry.get("purpose", "method") != "method"),
        "fedsam_equivalent": equivalent,
        "reduction": round(1 - spent / equivalent, 4) if equivalent and method else None,
    }


def _entries(record: Record) -> list[dict[str, Any]]:
    """Return the ledger's entries; one that does not say direction and bytes would falsify every sum.

    Raises:
        StoreError: naming the entry.
    """
    entries: list[dict[str, Any]] = list(record.mapping("bytes").get("entries") or ())
    for number, entry in enumerate(entries):
        if entry.get("direction") not in DIRECTIONS or not isinstance(entry.get("bytes"), int) or entry["bytes"] < 0:
            where = f"{record.run / RECORD_NAME}, bytes.entries[{number}]"
            raise StoreError(where, "needs a direction (up or down) and a count of bytes", FIX)
    return entries


def _fedsam(record: Record) -> int | None:
    """Bytes FedSAM would have moved in this federation, or None where the record does not say."""
    fedsam = record.mapping("bytes").get("fedsam")
    if not fedsam:
        return None
    per_round = 2 * int(fedsam["bytes_per_round_per_site_per_direction"]) * len(record.sites)
    return per_round * int(fedsam["rounds"])


def _sums(entries: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Bytes up and down."""
    total = dict.fromkeys(DIRECTIONS, 0)
    for entry in entries:
        total[entry["direction"]] += int(entry["bytes"])
    return total


def _grouped(entries: list[dict[str, Any]], key: str) -> dict[str, dict[str, int]]:
    """Bytes up and down by site or stage, in order of first appearance."""
    names = dict.fromkeys(str(entry.get(key) or "unnamed") for entry in entries)
    return {name: _sums(e for e in entries if str(e.get(key) or "unnamed") == name) for name in names}
