# SPDX-License-Identifier: Apache-2.0
"""Downloads: folders, archives, archives in folders; nothing odd gets in."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsfedmed.data.datasets import source as source_module
from dsfedmed.data.datasets.source import Source, natural_key
from dsfedmed.errors import DataError


def archive(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as stream:
        for name, content in files.items():
            stream.writestr(name, content)
    return path


def test_folder_and_archives_look_alike(tmp_path: Path) -> None:
    root = tmp_path / "download"
    archive(root / "A_Data.zip", {"x/1.png": b"one", "__MACOSX/x/._1.png": b"junk", ".DS_Store": b"junk"})
    (root / "B_Data").mkdir()
    (root / "B_Data/2.png").write_bytes(b"two")
    (root / ".hidden").write_bytes(b"junk")
    with Source(root) as source:
        assert [member.path for member in source.members] == ["download/A_Data/x/1.png", "download/B_Data/2.png"]
        found = source.index(r"([AB])_Data/(?:.*/)?(\d)\.png$")
        assert list(found) == [("A", "1"), ("B", "2")]
        assert [source.read(member) for member in found.values()] == [b"one", b"two"]
        assert source.sha256["download/B_Data/2.png"].startswith("3fc4ccfe")
    with Source(root / "A_Data.zip") as source:
        assert [member.path for member in source.members] == ["A_Data/x/1.png"]


def test_the_same_file_twice_is_not_guessed(tmp_path: Path) -> None:
    archive(tmp_path / "set.zip", {"set/1.png": b"one"})
    (tmp_path / "set").mkdir()
    (tmp_path / "set/1.png").write_bytes(b"one")
    with Source(tmp_path) as source, pytest.raises(DataError, match="either the archive or the unpacked folder"):
        source.index(r"(\d)\.png$")


@pytest.mark.parametrize(
    "name", ["../evil.png", "/etc/evil.png", "a/../../evil.png", "a\\..\\evil.png", "C:\\evil.png"]
)
def test_names_that_lead_out_are_refused(name: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "set.zip", {name: b"evil"})
    with pytest.raises(DataError, match="leads out of the archive"):
        Source(path)


def test_links_encryption_and_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as stream:
        stream.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="is a link"):
        Source(tmp_path / "link.zip")
    locked = bytearray(archive(tmp_path / "locked.zip", {"a.png": b"a"}).read_bytes())
    locked[locked.index(b"PK\x01\x02") + 8] |= 1  # the encryption flag of the first entry
    (tmp_path / "locked.zip").write_bytes(locked)
    with pytest.raises(DataError, match="is encrypted"):
        Source(tmp_path / "locked.zip")
    monkeypatch.setattr(source_module, "MAX_BYTES", 10)
    with pytest.raises(DataError, match="unpacks to 11 bytes"):
        Source(archive(tmp_path / "bomb.zip", {"a.png": b"a" * 11}))


def test_damage_is_named(tmp_path: Path) -> None:
    path = archive(tmp_path / "set.zip", {"1.png": b"first content", "2.png": b"second content"})
    content = path.read_bytes()
    path.write_bytes(content.replace(b"first content", b"wrong content"))
    with Source(path) as source:
        first, second = source.members
        with pytest.raises(DataError, match=r"CRC") as caught:
            source.read(first)
        assert caught.value.where == str(tmp_path / "set.zip/1.png")
        assert source.read(second) == b"second content"
    path.write_bytes(content[:40])
    with pytest.raises(DataError, match="not a readable zip archive"):
        Source(path)
    with pytest.raises(DataError, match="no such file or folder"):
        Source(tmp_path / "nothing")


def test_an_empty_folder_is_said_to_be(tmp_path: Path) -> None:
    with Source(tmp_path) as source:
        assert "x.png not found; it holds no file. Get it from https://official" in str(
            source.missing("x.png", "https://official")
        )


@given(st.lists(st.integers(0, 2000), unique=True))
def test_numbers_sort_as_numbers(numbers: list[int]) -> None:
    names = [f"a/{number}/b" for number in numbers]
    assert sorted(names, key=natural_key) == [f"a/{number}/b" for number in sorted(numbers)]
