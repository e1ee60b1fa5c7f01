# SPDX-License-Identifier: Apache-2.0
"""Which version of the program made a run folder: one of another minor version is refused, never misread.

Settings, stages and records change their names and form from one minor version to the next, so a folder is continued,
reused and reported by the minor version that made it. Up to version 0.3 the stage store did not say its version.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsfedmed.errors import StoreError
from dsfedmed.store.files import read_json
from dsfedmed.version import VERSION

STORE = "store"
CONFIG = "config.json"
RECORD = "record.json"


def require_this_version(where: Path, version: object) -> None:
    """Refuse what another minor version wrote.

    Args:
        where: the file or folder concerned, for the error.
        version: the version that it names, such as "0.4.1"; None where it names none.

    Raises:
        StoreError: ``version`` is not of this program's major and minor number.
    """
    if isinstance(version, str) and _minor(version) == _minor(VERSION):
        return
    made = f"version {_minor(version)}" if isinstance(version, str) else "version 0.3 or earlier"
    raise StoreError(
        where,
        f"made by {made} of dsfedmed, which version {VERSION} does not read",
        "Start a new run folder (another --out); to continue or report this one, use the version that made it",
    )


def require_run_of_this_version(run: Path) -> None:
    """Refuse a run folder of another minor version before anything in it is used or written.

    A folder without a run passes: there is nothing to misread.

    Args:
        run: the folder given to a job as ``--out``.

    Raises:
        StoreError: another minor version made it, or a file of it cannot be read.
    """
    config, record = run / STORE / CONFIG, run / RECORD
    if config.exists():
        require_this_version(run, _named(read_json(config), "version"))
    if record.exists():
        require_this_version(run, _named(_named(read_json(record), "versions"), "dsfedmed"))


def has_begun(run: Path) -> bool:
    """Tell whether a run has begun in a folder: its stage store is there."""
    return (run / STORE / CONFIG).exists()


def begun_config(run: Path) -> dict[str, Any]:
    """Return of what a run that has begun was made: ``method``, ``settings`` and ``sites``.

    Raises:
        StoreError: the file is not there or cannot be read.
    """
    path = run / STORE / CONFIG
    config = _named(read_json(path), "config")
    if not isinstance(config, Mapping):
        fix = "Start in another run folder, or delete that run: --start-over"
        raise StoreError(path, "is not the configuration of a run", fix)
    return dict(config)


def _named(content: object, key: str) -> object:
    return content.get(key) if isinstance(content, Mapping) else None


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
