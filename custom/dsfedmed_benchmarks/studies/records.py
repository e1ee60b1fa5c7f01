# SPDX-License-Identifier: Apache-2.0
"""Records of complete runs, apart from the runs' folders: in a folder, or packed in the archive of committed results.

Either is named by one path: ``DIR`` is a folder with one sub-folder a run, ``docs/results/records.tar.gz/TABLE`` the
part ``TABLE`` of an archive.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from dsfedmed.errors import ConfigError, StoreError
from dsfedmed.reporting.record import RECORD_NAME, Record, load_record, parse_record
from dsfedmed.store.files import write_bytes
from dsfedmed_benchmarks.migrate_records import require_current
from dsfedmed_benchmarks.studies.archive import SUFFIX, read_archive, write_archive


@dataclass(frozen=True)
class RecordFolder:
    """Records in a folder, which may be one of run folders: ``<folder>/<run>/record.json``."""

    folder: Path

    def names(self) -> list[str]:
        """Return the names of the runs that have a record here, sorted."""
        return sorted(path.parent.name for path in self.folder.glob(f"*/{RECORD_NAME}"))

    def load(self, name: str) -> Record | None:
        """Return a run's record, or None without any.

        Raises:
            StoreError: it cannot be read, or has the key names of an older version.
        """
        run = self.folder / name
        return current(load_record(run)) if (run / RECORD_NAME).exists() else None

    def keep(self, record: Record) -> None:
        """Write a copy of a record here."""
        write_bytes(self.folder / record.run.name / RECORD_NAME, content_of(record))


@dataclass(frozen=True)
class PackedRecords:
    """Records in an archive: ``<table>/<run>/record.json``; nothing is unpacked to disk."""

    archive: Path
    table: str

    def names(self) -> list[str]:
        """Return the names of the runs of this table, sorted."""
        paths = [PurePosixPath(name) for name in self._files()]
        return sorted(path.parent.name for path in paths if path.parent.parent == PurePosixPath(self.table))

    def load(self, name: str) -> Record | None:
        """Return a run's record, or None without any; its ``run`` is the path that it has in the archive.

        Raises:
            StoreError: the archive or the record cannot be read, or has the key names of an older version.
        """
        content = self._files().get(self._path(name))
        return None if content is None else current(parse_record(content, self.archive / self.table / name))

    def add(self, records: Iterable[Record], replace: bool = False) -> list[str]:
        """Add records and return the names of those that are new or changed.

        Args:
            records: complete ones, by the names of their folders.
            replace: overwrite a record that is there with another content.

        Raises:
            ConfigError: a record is there with another content, and ``replace`` is not set.
        """
        files = dict(self._files()) if self.archive.exists() else {}
        changed = []
        for record in records:
            path, content = self._path(record.run.name), content_of(record)
            if path in files and files[path] != content and not replace:
                fix = "Leave that run out, or give --replace to overwrite it"
                raise ConfigError(record.run, f"differs from '{path}' in {self.archive.name}", fix)
            if files.get(path) != content:
                changed.append(record.run.name)
            files[path] = content
        write_archive(self.archive, files)
        return changed

    def _path(self, name: str) -> str:
        return f"{self.table}/{name}/{RECORD_NAME}"

    def _files(self) -> dict[str, bytes]:
        if not self.archive.is_file():
            raise StoreError(self.archive, "there is no such archive", "Name one, or a folder of records")
        return _read(self.archive, self.archive.stat().st_mtime_ns)


def open_records(path: Path) -> RecordFolder | PackedRecords:
    """Return the records that ``path`` names.

    Raises:
        ConfigError: an archive is named without the part that is meant, or with more than its name.
    """
    archive = next((above for above in (path, *path.parents) if above.name.endswith(SUFFIX)), None)
    if archive is None:
        return RecordFolder(path)
    table = path.relative_to(archive).as_posix()
    if table == "." or "/" in table:
        known = ", ".join(tables(archive)) if archive.is_file() else "none yet"
        raise ConfigError(path, "names no part of the archive", f"Write {archive.name}/PART. Parts there: {known}")
    return PackedRecords(archive, table)


def tables(archive: Path) -> list[str]:
    """Return the names of an archive's parts, sorted."""
    return sorted({PurePosixPath(name).parts[0] for name in read_archive(archive)})


def content_of(record: Record) -> bytes:
    """Return a record as it is kept: one line of JSON, its keys sorted."""
    return (json.dumps(record.data, sort_keys=True) + "\n").encode()


def current(record: Record) -> Record:
    """Return the record, unless its keys have the names of an older version.

    Raises:
        StoreError: naming the first such key and its name now.
    """
    require_current(record.data, record.run / RECORD_NAME)
    return record


@lru_cache(maxsize=4)
def _read(archive: Path, modified_ns: int) -> dict[str, bytes]:  # noqa: ARG001 (a changed archive is read again)
    return read_archive(archive)
