# SPDX-License-Identifier: Apache-2.0
"""The stage store: what a stage produced lies on disk with its hash, and a restarted run goes on behind it.

NVFlare 2.9 no longer resumes jobs, so this folder lies outside NVFlare's own run folder. It belongs to one
configuration and one minor version of the program: opened with another one it refuses, so that no result is ever
mixed from two.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
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
            require_this_version(folder, written.get("version"))
            found = written["hash"]
            if found != self.key:
                raise StoreError(
                    folder,
                    f"holds a run of another configuration ({differences(written['config'], config)})",
                    "Choose another --out, or remove that folder to start again",
                )
        else:
            write_json(marker, {"version": VERSION, "hash": self.key, "config": dict(config)})

    def has(self, stage: str) -> bool:
        """Tell whether the stage is finished."""
        return self._json(stage).exists()

    def put(self, stage: str, info: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None) -> None:
        """Keep a finished stage, or replace it: new tensors beside the old, then the JSON that names them.

        A kill at any moment leaves either the old stage or the new one, whole.
        """
        old = self._file(stage)
        record: dict[str, Any] = {"info": dict(info), "tensors": None, "file": None}
        if tensors:
            name = f"{stage}.b.safetensors" if old == f"{stage}.safetensors" else f"{stage}.safetensors"
            write_tensors(self.folder / name, tensors)
            record |= {"tensors": file_sha256(self.folder / name), "file": name}
        write_json(self._json(stage), record)
        if old and old != record["file"]:
            (self.folder / old).unlink(missing_ok=True)

    def get(self, stage: str) -> StageResult:
        """Return a finished stage, after checking its hash.

        Raises:
            StoreError: the stage is not there, unreadable, or its tensors do not match the hash.
        """
        record = read_json(self._json(stage))
        tensors: dict[str, Tensor] = {}
        if record["tensors"] is not None:
            path = self.folder / record["file"]
            if not path.exists() or file_sha256(path) != record["tensors"]:
                fix = f"Remove {self._json(stage)} to compute that stage again"
                raise StoreError(path, "does not match the hash it was written with", fix)
            tensors = read_tensors(path)
        return StageResult(record["info"], tensors)

    def drop(self, stage: str) -> None:
        """Forget a stage that a later one has replaced (the JSON goes first)."""
        file = self._file(stage)
        self._json(stage).unlink(missing_ok=True)
        if file:
            (self.folder / file).unlink(missing_ok=True)

    def _json(self, stage: str) -> Path:
        return self.folder / f"{stage}.json"

    def _file(self, stage: str) -> str | None:
        """Name of the file that holds the stage's tensors now."""
        name = read_json(self._json(stage)).get("file") if self.has(stage) else None
        return None if name is None else str(name)
