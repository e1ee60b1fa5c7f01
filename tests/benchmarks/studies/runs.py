# SPDX-License-Identifier: Apache-2.0
"""Records of small runs whose figures can be checked by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dsfedmed.reporting.record import Record


def case(dice: float) -> dict[str, Any]:
    """Return the figures of one test image."""
    return {"dice": [dice], "iou": [dice / 2], "hd95": [10 * (1 - dice)], "case": 0}


def record(seed: int, seen: float, unseen: float, **changes: Any) -> Record:
    """A pFedSAM run of two sites and one held out, with FedSAM beside it."""
    entries = [
        ("site_a", "rounds", "method", 100, "up"),
        ("site_b", "rounds", "method", 300, "down"),
        ("site_a", "evaluate", "method", 9999, "down"),
        ("site_a", "compare fedsam", "comparison", 4000, "up"),
        ("site_b", "compare fedsam", "comparison", 4000, "down"),
    ]
    names = ("site", "stage", "purpose", "bytes", "direction")
    data = {
        "name": f"run-{seed}",
        "method": "pfedsam",
        "seed": seed,
        "sites": ["site_a", "site_b"],
        "unseen": ["site_c"],
        "verdict": "complete",
        "cases": {
            "pfedsam": {"site_a": [case(seen)], "site_b": [case(seen)], "site_c": [case(unseen)]},
            "fedsam": {"site_a": [case(0.5)], "site_b": [case(0.5)], "site_c": [case(0.5)]},
        },
        "bytes": {"entries": [dict(zip(names, entry, strict=True)) for entry in entries]},
        "stages": [
            {"name": name, "seconds": seconds}
            for name, seconds in (("check sites", 30), ("rounds", 10), ("compare fedsam", 20), ("evaluate", 5))
        ],
        "parameters": {"teacher": 1000, "light": 10},
        "inference_ms": {"teacher": 4.0 + seed, "light": 1.0},
        **changes,
    }
    return Record(Path(f"run-{seed}"), data)
