# SPDX-License-Identifier: Apache-2.0
"""The byte ledger: what went through NVFlare, per site, stage and direction, beside FedSAM's cost.

Only entries of purpose "method" are DSFedMed's cost; the comparison arms (FedAvg, FedSAM, gathering test
figures) are counted apart. FedSAM's equivalent is the teacher's parameters, up and down, for every source site and
round: in fp32 as the paper counts (its Table 3, for one client), and in the run's own number format, in which what is
measured travelled. For int8 that is one byte a number; entropy coding, which makes it less, cannot be foreseen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dsfedmed.errors import StoreError
from dsfedmed.methods import MODELS
from dsfedmed.reporting.record import FIX, RECORD_NAME, Record

DIRECTIONS = ("up", "down")
OUTSIDE = ("evaluate", "evaluate comparison", "release", "check sites")
"""Stages that belong to every method alike and are no method's cost."""
NUMBER_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}
"""Bytes of a number in each format of `light.precision`."""


def bytes_block(record: Record) -> dict[str, Any]:
    """Return results.json's ``bytes``."""
    entries = _entries(record)
    method = [entry for entry in entries if entry.get("purpose", "method") == "method"]
    total = _sums(method)
    form = record.mapping("config").get("light", {}).get("precision")
    equivalent, alike = _fedsam(record, "fp32"), _fedsam(record, form)
    spent = total["up"] + total["down"]
    return {
        **total,
        "number_format": form,
        "messages": sum(int(entry.get("messages") or 0) for entry in method),
        "per_site": _grouped(method, "site"),
        "per_stage": _grouped(method, "stage"),
        "comparison": _sums(entry for entry in entries if entry.get("purpose", "method") != "method"),
        "fedsam_equivalent": equivalent,
        "reduction": round(1 - spent / equivalent, 4) if equivalent and method else None,
        "fedsam_same_format": alike,
        "reduction_same_format": round(1 - spent / alike, 4) if alike and method else None,
        "to_train": _to_train(record, entries),
    }


def _to_train(record: Record, entries: list[dict[str, Any]]) -> dict[str, int]:
    """Return the bytes that a training site sent and got until each tested model was trained, by key.

    Models that cost nothing of their own, such as the teacher, are left out.
    """
    found = {}
    for model in MODELS:
        own = model.key == record.method
        if model.key in record.cases and (own or all(stage.startswith("compare ") for stage in model.stages)):
            stages = model.stages
            if model.key in record.mapping("curves") and len(stages) > 1:
                stages = stages[-1:]  # it was trained from the start, not from where its first stage ended
            moved = sum(
                int(entry["bytes"])
                for entry in entries
                if (entry.get("purpose", "method") == "method" if own else entry.get("stage") in stages)
                and entry.get("stage") not in OUTSIDE
            )
            found[model.key] = round(moved / max(len(record.training_sites), 1))
    return found


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


def _fedsam(record: Record, form: str | None) -> int | None:
    """Bytes FedSAM would have moved in this federation in a number format, or None where the record does not say."""
    fedsam = record.mapping("bytes").get("fedsam")
    if not fedsam or form not in NUMBER_BYTES:
        return None
    in_fp32 = 2 * int(fedsam["bytes_per_round_per_site_per_direction"]) * len(record.sites) * int(fedsam["rounds"])
    return in_fp32 * NUMBER_BYTES[form] // NUMBER_BYTES["fp32"]


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
