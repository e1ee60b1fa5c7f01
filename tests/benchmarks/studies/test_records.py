# SPDX-License-Identifier: Apache-2.0
"""Records in a folder and in an archive: named by one path, read alike, and never of an old version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dsfedmed.errors import ConfigError, StoreError
from dsfedmed.reporting.record import Record
from dsfedmed.store.files import write_json
from dsfedmed_benchmarks.studies.archive import read_archive
from dsfedmed_benchmarks.studies.records import PackedRecords, RecordFolder, open_records, tables


def record(name: str, **parts: Any) -> Record:
    return Record(Path("runs") / name, {"name": name, "sites": ["a"], "verdict": "complete", **parts})


def test_a_folder_keeps_records_by_their_run(tmp_path: Path) -> None:
    folder = RecordFolder(tmp_path)
    assert folder.names() == []
    assert folder.load("one") is None
    folder.keep(record("one", seed=3))
    found = folder.load("one")
    assert folder.names() == ["one"]
    assert found is not None
    assert (found.run, found.seed) == (tmp_path / "one", 3)


def test_an_archive_has_a_part_for_each_table(tmp_path: Path) -> None:
    first, second = (PackedRecords(tmp_path / "r.tar.gz", table) for table in ("us", "cells"))
    assert first.add([record("b", seed=1), record("a", seed=2)]) == ["b", "a"]
    assert second.add([record("a", seed=5)]) == ["a"]
    assert tables(tmp_path / "r.tar.gz") == ["cells", "us"]
    assert (first.names(), second.names()) == (["a", "b"], ["a"])
    found = second.load("a")
    assert found is not None
    assert found.seed == 5
    assert found.run == tmp_path / "r.tar.gz" / "cells" / "a"
    assert second.load("b") is None
    assert list(read_archive(tmp_path / "r.tar.gz")) == [f"{part}/record.json" for part in ("cells/a", "us/a", "us/b")]


def test_what_is_there_changes_on_demand_alone(tmp_path: Path) -> None:
    packed = PackedRecords(tmp_path / "r.tar.gz", "us")
    packed.add([record("a", seed=1)])
    before = packed.archive.read_bytes()
    assert packed.add([record("a", seed=1)]) == []
    assert packed.archive.read_bytes() == before
    with pytest.raises(ConfigError, match=r"differs from 'us/a/record\.json'.*--replace"):
        packed.add([record("new"), record("a", seed=2)])
    assert packed.archive.read_bytes() == before, "whole or not at all"
    assert packed.add([record("a", seed=2)], replace=True) == ["a"]
    found = packed.load("a")
    assert found is not None
    assert found.seed == 2, "the changed archive is read again"


def test_one_path_names_either(tmp_path: Path) -> None:
    PackedRecords(tmp_path / "r.tar.gz", "us").add([record("a")])
    assert open_records(tmp_path / "kept") == RecordFolder(tmp_path / "kept")
    assert open_records(tmp_path / "r.tar.gz" / "us") == PackedRecords(tmp_path / "r.tar.gz", "us")
    for path in (tmp_path / "r.tar.gz", tmp_path / "r.tar.gz" / "us" / "a"):
        with pytest.raises(ConfigError, match=r"names no part of the archive. Write r\.tar\.gz/PART. Parts there: us"):
            open_records(path)
    with pytest.raises(StoreError, match="there is no such archive"):
        PackedRecords(tmp_path / "none.tar.gz", "us").names()


def test_a_record_of_an_old_version_is_refused_and_not_misread(tmp_path: Path) -> None:
    old = record("a", config={"schedule": {"every": 10}})
    write_json(tmp_path / "kept" / "a" / "record.json", old.data)
    PackedRecords(tmp_path / "r.tar.gz", "us").add([old])
    for place in (RecordFolder(tmp_path / "kept"), PackedRecords(tmp_path / "r.tar.gz", "us")):
        with pytest.raises(StoreError, match=r"'config\.schedule\.every' was renamed to 'interval_rounds'"):
            place.load("a")
