# SPDX-License-Identifier: Apache-2.0
"""Archives: equal files give equal bytes, and damage is said."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from dsfedmed.errors import StoreError
from dsfedmed_benchmarks.studies.archive import read_archive, write_archive

FILES = {"b/record.json": b"{}\n", "a/record.json": b"[1, 2]\n"}


def test_equal_files_give_equal_bytes_whatever_the_order_time_or_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_archive(tmp_path / "one.tar.gz", FILES)
    monkeypatch.setattr("time.time", lambda: 1e9)
    write_archive(tmp_path / "two.tar.gz", dict(sorted(FILES.items())))
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "one.tar.gz") as archive:
        facts = [(m.name, m.mtime, m.uid, m.gid, m.uname, m.mode) for m in archive.getmembers()]
    assert facts == [(name, 0, 0, 0, "", 0o644) for name in sorted(FILES)]


def test_what_is_read_is_what_was_written_and_nothing_is_unpacked(tmp_path: Path) -> None:
    write_archive(tmp_path / "one.tar.gz", FILES)
    assert read_archive(tmp_path / "one.tar.gz") == FILES
    assert os.listdir(tmp_path) == ["one.tar.gz"]


@pytest.mark.parametrize("cut", [0, 10, 60])
def test_a_damaged_archive_is_named(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "one.tar.gz"
    write_archive(path, FILES)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(StoreError, match=r"one\.tar\.gz: cannot be read"):
        read_archive(path)


def test_a_link_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("a/record.json")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "one.tar.gz", "w:gz") as archive:
        archive.addfile(member)
    with pytest.raises(StoreError, match=r"'a/record\.json' is not a plain file"):
        read_archive(tmp_path / "one.tar.gz")
