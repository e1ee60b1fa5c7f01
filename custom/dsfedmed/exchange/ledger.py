# SPDX-License-Identifier: Apache-2.0
"""The byte ledger: every message that went over the wire, per site, direction, stage and purpose."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any, Literal

Direction = Literal["up", "down"]
Purpose = Literal["method", "comparison"]


class ByteLedger:
    """Adds up bytes and messages; safe to call from several threads.

    ``purpose`` tells the method itself from what only the comparison of methods costs (baselines, the evaluation of
    the teacher at the sites), so that the method's own traffic is never flattered nor charged for others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str, str, str], list[int]] = defaultdict(lambda: [0, 0])
        self.stage = "start"
        self.purpose: Purpose = "method"

    def add(self, site: str, direction: Direction, size: int) -> None:
        """Count one message of ``size`` bytes under the present stage and purpose."""
        with self._lock:
            entry = self._counts[(site, direction, self.stage, self.purpose)]
            entry[0] += size
            entry[1] += 1

    def entries(self) -> list[dict[str, Any]]:
        """Return one row per (site, direction, stage, purpose), in the order of first use."""
        with self._lock:
            return [
                {"site": s, "direction": d, "stage": stage, "purpose": p, "bytes": size, "messages": messages}
                for (s, d, stage, p), (size, messages) in self._counts.items()
            ]

    def restore(self, entries: list[dict[str, Any]]) -> None:
        """Go on from the rows of an earlier, interrupted run."""
        with self._lock:
            for row in entries:
                entry = self._counts[(row["site"], row["direction"], row["stage"], row["purpose"])]
                entry[0] += int(row["bytes"])
                entry[1] += int(row["messages"])
