# SPDX-License-Identifier: Apache-2.0
"""Which files have changed, by their content; what looks unchanged is not read again."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from dsfedmed.errors import StoreError
from dsfedmed.store import fingerprint as module
from dsfedmed.store.fingerprint import NONE, Fingerprint, fingerprint, read_fingerprint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "images" / f"{name}.png").write_bytes(name.encode() * 5)
    return tmp_path


def of(folder: Path, known: Fingerprint = NONE) -> Fingerprint:
    return fingerprint(folder, (folder / "images").iterdir(), known)


def test_each_file_has_the_hash_of_its_content(folder: Path) -> None:
    found = of(folder)
    assert found.files["images/a.png"] == hashlib.sha256(b"aaaaa").hexdigest()
    assert sorted(found.files) == ["images/a.png", "images/b.png", "images/c.png"]
    assert len(found.sha256) == 64


def test_a_touched_file_has_not_changed(folder: Path) -> None:
    before = of(folder)
    os.utime(folder / "images" / "a.png", (1, 1))
    now = of(folder, before)
    assert (now.sha256, now.changed_since(before)) == (before.sha256, 0)


def test_an_edited_file_of_the_same_size_and_time_has_changed(folder: Path) -> None:
    before = of(folder)
    path = folder / "images" / "a.png"
    state = path.stat()
    path.write_bytes(b"xxxxx")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    now = of(folder, before)
    assert now.sha256 != before.sha256
    assert now.changed_since(before) == 1


def test_files_that_come_and_go_count(folder: Path) -> None:
    before = of(folder)
    (folder / "images" / "b.png").unlink()
    (folder / "images" / "d.png").write_bytes(b"d")
    assert of(folder, before).changed_since(before) == 2


def test_the_same_contents_under_other_names_are_other_data(folder: Path) -> None:
    before = of(folder)
    (folder / "images" / "a.png").rename(folder / "images" / "z.png")
    assert of(folder).sha256 != before.sha256


def test_what_looks_unchanged_is_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = of(folder)
    (folder / "images" / "c.png").write_bytes(b"other")
    read: list[str] = []
    real = module.file_sha256
    monkeypatch.setattr(module, "file_sha256", lambda path: read.append(path.name) or real(path))
    of(folder, before)
    assert read == ["c.png"]


def test_a_folder_stands_for_its_files(folder: Path) -> None:
    assert fingerprint(folder, [folder / "images"]).files == of(folder).files


def test_a_missing_file_is_named(folder: Path) -> None:
    with pytest.raises(StoreError, match=r"none\.png: cannot be read \(No such file"):
        fingerprint(folder, [folder / "none.png"])


def test_the_memory_comes_back_and_a_damaged_one_is_none(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    assert read_fingerprint(path) == NONE
    of(folder).write(path)
    assert read_fingerprint(path) == of(folder)
    for text in ("{", "[1]", '{"files": 3, "marks": 4}', '{"files": {}}'):
        path.write_text(text)
        assert read_fingerprint(path) == NONE


def test_what_never_ends_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "device.png"):
        with pytest.raises(StoreError, match=rf"{name}: cannot be read \(it is not a file but a pipe"):
            fingerprint(tmp_path, [tmp_path / name])
    assert fingerprint(tmp_path.parent, [tmp_path]).files == {}, "a folder's files alone are of a series"
