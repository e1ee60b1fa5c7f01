# SPDX-License-Identifier: Apache-2.0
"""Which files have changed since a run began, by their content: a touched file has not, an edited one has.

Content hashes are remembered with each file's size and times, so that only files whose size or times are others are
read again. The memory names files; it lies with whoever owns them and goes nowhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dsfedmed.errors import StoreError
from dsfedmed.store.files import file_sha256, read_json, write_json


@dataclass(frozen=True)
class Fingerprint:
    """Hashes of files.

    Attributes:
        files: SHA-256 of each file's content, by its path relative to their folder.
        marks: size in bytes and times of change (content, and content or owner) in nanoseconds, by the same path.
    """

    files: dict[str, str]
    marks: dict[str, list[int]]

    @property
    def sha256(self) -> str:
        """One SHA-256 over all names and contents."""
        return hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()

    def changed_since(self, before: Fingerprint) -> int:
        """Return how many files were added, removed or edited since ``before``."""
        names = self.files.keys() | before.files.keys()
        return sum(self.files.get(name) != before.files.get(name) for name in names)

    def write(self, path: Path) -> None:
        """Remember it in the file ``path``, atomically."""
        write_json(path, {"files": self.files, "marks": self.marks})


NONE = Fingerprint({}, {})


def read_fingerprint(path: Path) -> Fingerprint:
    """Return what a file remembers; nothing where there is no such file, or it cannot be read: it is only a memory."""
    try:
        content = read_json(path) if path.exists() else {}
        return Fingerprint(dict(content["files"]), dict(content["marks"])) if content else NONE
    except (StoreError, KeyError, TypeError, ValueError):
        return NONE


def fingerprint(folder: Path, files: Iterable[Path], known: Fingerprint = NONE) -> Fingerprint:
    """Return the fingerprint of ``files`` of a folder; nothing there is written and no time is changed.

    Args:
        folder: against which paths are named.
        files: files below it; one that is a folder stands for all files in it.
        known: an earlier fingerprint, whose hashes count for files of the same size and times.

    Raises:
        StoreError: a file is not there or cannot be read.
    """
    hashes: dict[str, str] = {}
    marks: dict[str, list[int]] = {}
    for path in sorted({found for file in files for found in _plain_files(file)}):
        name = path.relative_to(folder).as_posix()
        try:
            state = path.stat()
            marks[name] = [state.st_size, state.st_mtime_ns, state.st_ctime_ns]
            same = known.marks.get(name) == marks[name] and name in known.files
            hashes[name] = known.files[name] if same else file_sha256(path)
        except OSError as error:
            raise StoreError(
                path, f"cannot be read ({error.strerror})", "Put it back, or correct its rights"
            ) from error
    return Fingerprint(hashes, marks)


def _plain_files(path: Path) -> list[Path]:
    return [found for found in path.rglob("*") if found.is_file()] if path.is_dir() else [path]
