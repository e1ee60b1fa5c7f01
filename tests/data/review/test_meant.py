# SPDX-License-Identifier: Apache-2.0
"""Folders beside the sites of a run that hold images and are no sites."""

from __future__ import annotations

from pathlib import Path

from dsfedmed.data.review.meant import without_list


def test_folders_with_images_and_no_list_are_named(tmp_path: Path) -> None:
    for name in ("listed/images", "raw/scans", "flat", "notes", ".hidden"):
        (tmp_path / name).mkdir(parents=True)
    for file in ("listed/images/x.png", "raw/scans/x.png", "flat/x.png", ".hidden/x.png"):
        (tmp_path / file).write_bytes(b"\x89PNG")
    (tmp_path / "listed/datalist.json").write_text("{}")
    (tmp_path / "notes/read.me").write_text("")
    assert without_list(tmp_path) == ["flat", "raw"]
    assert without_list(tmp_path / "notes") == []
