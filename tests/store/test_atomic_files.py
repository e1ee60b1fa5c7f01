# SPDX-License-Identifier: Apache-2.0
"""Atomic files: old content or new, never half; a full disk is said in words."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from dsfedmed import documents
from dsfedmed.documents import JSON_BYTES
from dsfedmed.errors import StoreError
from dsfedmed.store import files
from dsfedmed.store.files import file_sha256, read_json, read_tensors, write_atomic, write_json, write_tensors


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    seen: list[bool] = []
    path = tmp_path / "new" / "record.json"

    def write(temporary: Path) -> None:
        temporary.write_text("new")
        seen.append(path.exists())

    write_atomic(path, write)
    assert seen == [False]
    assert path.read_text() == "new"
    assert _names(path.parent) == ["record.json"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied"), "cannot be written .*Permission denied"),
    ],
)
def test_a_failing_writer_leaves_the_old_file(tmp_path: Path, error: Exception, reason: str) -> None:
    path = tmp_path / "record.json"
    path.write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("half of the n")
        raise error

    with pytest.raises(StoreError, match=reason) as caught:
        write_atomic(path, write)
    assert caught.value.where == str(path)
    assert "Free space" in caught.value.fix
    assert path.read_text() == "old"
    assert _names(tmp_path) == ["record.json"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_fills_while_flushing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "weights.safetensors"
    write_tensors(path, {"w": torch.zeros(2)})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, step, full)
    with pytest.raises(StoreError, match=r"weights\.safetensors: the disk is full\. Free space and start"):
        write_tensors(path, {"w": torch.ones(2)})
    monkeypatch.undo()
    assert read_tensors(path)["w"].tolist() == [0.0, 0.0]
    assert _names(tmp_path) == ["weights.safetensors"]


def test_a_writer_with_a_bug_leaves_no_stray_part(tmp_path: Path) -> None:
    def write(temporary: Path) -> None:
        temporary.write_text("half")
        raise ValueError("not an error of the disk")

    with pytest.raises(ValueError, match="not an error of the disk"):
        write_atomic(tmp_path / "record.json", write)
    assert _names(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file stands where the folder should be")
    with pytest.raises(StoreError, match=r"record\.json: cannot be written"):
        write_json(tmp_path / "run" / "record.json", {})


def test_json_comes_back_and_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    value = {"dice": [0.5, 1], "site": "Klinik Süd", "none": None}
    write_json(path, value)
    assert read_json(path) == value
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            write_json(path, {"dice": bad})
    assert read_json(path) == value


@pytest.mark.parametrize(
    "content", [None, b"{half", b"\xff\xfe", b"[" * 200_000], ids=["none", "half", "no text", "nested"]
)
def test_unreadable_json_says_what_to_remove(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StoreError, match=r"a\.json: cannot be read .*Remove the file"):
        read_json(path)


def test_tensors_come_back_also_views_and_shared_ones(tmp_path: Path) -> None:
    base = torch.arange(6.0).reshape(2, 3)
    sent = {"a": base, "same": base, "view": base.T, "half": base.half(), "scalar": torch.tensor(3), "none": base[:0]}
    write_tensors(tmp_path / "w.safetensors", sent)
    got = read_tensors(tmp_path / "w.safetensors")
    assert got.keys() == sent.keys()
    for name, tensor in sent.items():
        assert got[name].dtype == tensor.dtype
        assert torch.equal(got[name], tensor)


@pytest.mark.parametrize("content", [None, b"", b"\x80\x04junk", b"\xff" * 64])
def test_what_is_no_safetensors_file_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "w.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StoreError, match=r"w\.safetensors: cannot be read"):
        read_tensors(path)


def test_a_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    content = os.urandom((1 << 20) + 17)
    (tmp_path / "f").write_bytes(content)
    assert file_sha256(tmp_path / "f") == hashlib.sha256(content).hexdigest()


def test_what_the_program_wrote_itself_is_read_beyond_the_limit_of_what_is_given(tmp_path: Path) -> None:
    """A record with the scores of some 20,000 test images, or the hashes of as many files, has more than 32 MiB."""
    path = tmp_path / "record.json"
    write_json(path, {"cases": " " * JSON_BYTES})
    assert read_json(path) == {"cases": " " * JSON_BYTES}
    with pytest.raises(ValueError, match="more than 32768 KiB"):
        documents.read_json(path)
