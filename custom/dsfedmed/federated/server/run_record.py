# SPDX-License-Identifier: Apache-2.0
"""The run's own record, written after every stage; the report is made from it alone.

It may be passed on: no path of the machine stands in it.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from dsfedmed.errors import without_paths
from dsfedmed.packages import versions
from dsfedmed.settings import Settings
from dsfedmed.store.files import read_json, write_json

FILE_NAME = "record.json"


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def mark_not_begun(folder: Path) -> None:
    """Take the verdict from a record that is there, before a process is started that will give a new one.

    If that process never comes to it, nobody reads the old verdict as that of the new start.
    """
    path = folder / FILE_NAME
    if path.exists():
        verdict = "incomplete: started again, and ended before the server began"
        write_json(path, {**read_json(path), "verdict": verdict, "finished": None})


class RunRecord:
    """``record.json`` of a run; a restarted run goes on with the one it finds."""

    def __init__(self, folder: Path, method: str, settings: Settings, sites: list[str], unseen: list[str]) -> None:
        self.path = folder / FILE_NAME
        start: dict[str, Any] = {
            "name": folder.name,
            "method": method,
            "preset": settings.preset,
            "seed": settings.seed,
            "started": now(),
            "finished": None,
            "config": settings.to_dict(),
            "sites": sites,
            "unseen": unseen,
            "versions": versions(),
            "events": [],
            "stages": [],
            "curves": {},
            "selected": {},
            "budgets": {},
            "cases": {},
            "legacy": {},
            "detected": {},
            "learnability": [],
            "audit": {},
            "privacy": {},
            "branch_privacy": {},
            "bytes": {"entries": []},
            "parameters": {},
        }
        self.data = {**start, **read_json(self.path)} if self.path.exists() else start
        self.data |= {"verdict": "incomplete: still running, or ended without a word", "finished": None}
        self.save()

    def put(self, **parts: Any) -> None:
        """Set top-level parts and save."""
        self.data.update(parts)
        self.save()

    def add(self, part: str, **entries: Any) -> None:
        """Set entries of a top-level mapping and save."""
        self.data[part] = {**self.data[part], **entries}
        self.save()

    def event(self, kind: str, message: str, stage: str = "", round_number: int | None = None, site: str = "") -> None:
        """Note who was missing, refused, back, or what went wrong."""
        entry = {"time": now(), "stage": stage, "round": round_number, "site": site or None, "kind": kind}
        self.data["events"].append({**entry, "message": self._passed_on(message)})
        self.save()

    def stage(self, name: str, seconds: float, resumed: bool) -> None:
        """Note a stage's time; a stage taken from the store keeps the time it once took."""
        known = {entry["name"]: entry for entry in self.data["stages"]}
        if resumed and name in known:
            known[name]["resumed"] = True
        else:
            known[name] = {"name": name, "seconds": round(seconds, 2), "resumed": resumed}
        self.put(stages=list(known.values()))

    def finish(self, verdict: str) -> None:
        """Close the record with a verdict."""
        self.put(verdict=self._passed_on(verdict), finished=now())

    def _passed_on(self, text: str) -> str:
        return without_paths(text, {self.path.parent, self.path.parent.resolve()})

    def save(self) -> None:
        """Write the file."""
        write_json(self.path, self.data)
