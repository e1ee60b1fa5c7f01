# SPDX-License-Identifier: Apache-2.0
"""The stage store: what a stage produced lies on disk with its hash, and a restarted run goes on behind it.

NVFlare 2.9 no longer resumes jobs, so this folder lies outside NVFlare's own run folder. It belongs to one
configuration and one minor version of the program: opened with another one it refuses, so that no result is ever
mixed from two.

An entry's seal is a hash over what it says, its name and the run that it belongs to, so that one that was edited, cut,
exchanged with another or copied from another run is found. That is for accidents: who may write the folder can make
seals as well.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from dsfedmed.errors import StoreError
from dsfedmed.store.differences import differences
from dsfedmed.store.files import file_sha256, read_json, read_tensors, write_json, write_tensors
from dsfedmed.store.run_version import CONFIG, require_this_version
from dsfedmed.version import VERSION


def config_hash(config: Mapping[str, Any]) -> str:
    """Return a short hash of a JSON-like configuration, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]


ORDER = "order.json"
"""When each stage was first put and last put, as counting numbers: what lies behind a damaged one is told by it."""
ALTERED = "does not match the hash it was written with"
AGAIN = "Start the same command again: that stage, and what was made after it, is done again"
ANEW = "Start in another run folder, or delete that run: --start-over"


@dataclass(frozen=True)
class StageResult:
    """What a stage left: JSON-like facts and tensors."""

    info: dict[str, Any]
    tensors: dict[str, Tensor]


class StageStore:
    """Results of finished stages under ``folder``; the JSON file is written last and marks a stage as done.

    Args:
        folder: where they are kept; made where it is not there.
        config: what the results depend on, JSON-like.

    Raises:
        StoreError: the folder is that of another configuration, or another minor version of the program made it.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.folder = folder
        self.key = config_hash(config)
        marker = folder / CONFIG
        if marker.exists():
            written = read_json(marker)
            if not isinstance(written, dict):
                raise StoreError(marker, "is not the configuration of a run", ANEW)
            require_this_version(folder, written.get("version"))
            if not isinstance(written.get("config"), dict):
                raise StoreError(marker, "is not the configuration of a run", ANEW)
            if written.get("hash") != self.key:
                raise StoreError(
                    folder,
                    f"holds a run of another configuration ({differences(written['config'], config)})",
                    "Choose another --out, or remove that folder to start again",
                )
            self.run = str(written.get("run"))
        else:
            self.run = secrets.token_hex(8)
            write_json(marker, {"version": VERSION, "hash": self.key, "run": self.run, "config": dict(config)})

    @classmethod
    def existing(cls, folder: Path) -> StageStore:
        """Open a store with the configuration that it has.

        Raises:
            StoreError: there is none, or another minor version of the program made it.
        """
        written = read_json(folder / CONFIG)
        config = written.get("config") if isinstance(written, dict) else None
        return cls(folder, config if isinstance(config, dict) else {})

    def has(self, stage: str) -> bool:
        """Tell whether the stage is finished."""
        return self._json(stage).exists()

    def put(self, stage: str, info: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None) -> None:
        """Keep a finished stage, or replace it: new tensors beside the old, then the JSON that names them.

        A kill at any moment leaves either the old stage or the new one, whole.
        """
        old = self._file(stage)
        plain = json.loads(json.dumps(dict(info), allow_nan=False))
        record: dict[str, Any] = {"info": plain, "tensors": None, "file": None}
        if tensors:
            name = f"{stage}.b.safetensors" if old == f"{stage}.safetensors" else f"{stage}.safetensors"
            write_tensors(self.folder / name, tensors)
            record |= {"tensors": file_sha256(self.folder / name), "file": name}
        write_json(self._json(stage), record | {"seal": self._seal(stage, record)})
        self._number(stage)
        if old and old != record["file"]:
            (self.folder / old).unlink(missing_ok=True)

    def get(self, stage: str) -> StageResult:
        """Return a finished stage, after checking its hashes.

        Raises:
            StoreError: the stage is not there, unreadable, or its facts or tensors do not match their hash.
        """
        record = self._checked(stage)
        tensors = {} if record["file"] is None else read_tensors(self.folder / record["file"])
        return StageResult(record["info"], tensors)

    def mend(self, first: Collection[str] = ()) -> dict[str, str]:
        """Drop every stage that was damaged or removed, and every one that was put after it: they are to be done again.

        Args:
            first: stages that say what the run began with, which cannot be done again; they are never dropped.

        Returns:
            Why, by the stages that were damaged, each with the names of those that go with it.

        Raises:
            StoreError: one of ``first`` was damaged or removed.
        """
        order, known = self._order(), self._known()
        found: dict[str, str] = {}
        for stage in sorted(known | order.keys()):
            try:
                self._checked(stage)
            except StoreError as error:
                if stage in first:
                    reason = "was removed" if stage not in known else error.reason
                    raise StoreError(self._json(stage), f"{reason}; it says what the run began with", ANEW) from error
                found[stage] = f"{Path(error.where).name} {error.reason}" if stage in known else "it was removed"
        later = self.redo(found, first)
        told = f"done again{', with what came after it: ' if later else ''}{', '.join(later)}"
        return {stage: f"{why}; {told}" for stage, why in found.items()}

    def redo(self, stages: Collection[str], first: Collection[str] = ()) -> list[str]:
        """Drop stages and every one that was put after the earliest of them; return the latter's names.

        Args:
            stages: which; none for doing nothing.
            first: never dropped.
        """
        if not stages:
            return []
        order = self._order()
        since = min(order.get(stage, [0, 0])[0] for stage in stages)
        names = self._known() - set(stages) - set(first)
        later = sorted(name for name in names if order.get(name, [since + 1] * 2)[1] > since)
        for name in (*later, *stages):
            self.drop(name)
        return later

    def drop(self, stage: str) -> None:
        """Forget a stage that a later one has replaced (its number goes first, then the JSON)."""
        file = self._file(stage)
        order = self._order()
        if order.pop(stage, None) is not None:
            write_json(self.folder / ORDER, order)
        self._json(stage).unlink(missing_ok=True)
        if file:
            (self.folder / file).unlink(missing_ok=True)

    def _json(self, stage: str) -> Path:
        return self.folder / f"{stage}.json"

    def _file(self, stage: str) -> str | None:
        """Name of the file that holds the stage's tensors now."""
        try:
            record = read_json(self._json(stage)) if self.has(stage) else {}
        except StoreError:
            return None
        name = record.get("file") if isinstance(record, dict) else None
        return name if name in (f"{stage}.safetensors", f"{stage}.b.safetensors") else None

    def _known(self) -> set[str]:
        return {path.stem for path in self.folder.glob("*.json")} - {Path(CONFIG).stem, Path(ORDER).stem}

    def _checked(self, stage: str) -> dict[str, Any]:
        """Return a stage's entry once seal and tensors fit."""
        path = self._json(stage)
        record = read_json(path)
        if not isinstance(record, dict) or record.get("seal") != self._seal(stage, record):
            raise StoreError(path, ALTERED, AGAIN)
        if record["file"] is not None:
            tensors = self.folder / record["file"]
            if not tensors.is_file() or file_sha256(tensors) != record["tensors"]:
                raise StoreError(tensors, ALTERED, AGAIN)
        return record

    def _seal(self, stage: str, record: Mapping[str, Any]) -> str:
        content = [self.run, stage, record.get("info"), record.get("tensors"), record.get("file")]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _order(self) -> dict[str, list[int]]:
        """Return each stage's first and last number; none where they cannot be read, so that all count as later."""
        path = self.folder / ORDER
        try:
            found = read_json(path) if path.exists() else {}
            return {str(stage): [int(first), int(last)] for stage, (first, last) in found.items()}
        except (StoreError, AttributeError, TypeError, ValueError):
            return {}

    def _number(self, stage: str) -> None:
        order = self._order()
        number = 1 + max((last for _, last in order.values()), default=0)
        order[stage] = [order.get(stage, [number])[0], number]
        write_json(self.folder / ORDER, order)
