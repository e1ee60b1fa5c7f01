# SPDX-License-Identifier: Apache-2.0
"""``areas.csv`` as a spreadsheet reads it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from dsfedmed.errors import StoreError
from dsfedmed.prediction.areas import Area
from dsfedmed.prediction.table import COLUMNS, NAME, AreaTable


def rows(folder: Path) -> list[list[str]]:
    with (folder / NAME).open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def test_rows_by_hand(tmp_path: Path) -> None:
    with AreaTable(tmp_path) as table:
        table.add("a, b.png", [Area(1, "cell", 12, 2), Area(2, "nucleus", 0, 0)])
        slices = [Area(1, "cell", 4, 1, 1, 1.23456789), Area(1, "cell", 0, 0, 2, 0.0)]
        table.add("v.nii.gz", [*slices, Area(1, "cell", 4, 1, volume_ml=0.5, whole_volume=True)])
        assert not (tmp_path / NAME).exists()
    assert rows(tmp_path) == [
        list(COLUMNS),
        ["a, b.png", "", "1", "cell", "12", "", "", "2", "no"],
        ["a, b.png", "", "2", "nucleus", "0", "", "", "0", "yes"],
        ["v.nii.gz", "1", "1", "cell", "4", "1.23457", "", "1", "no"],
        ["v.nii.gz", "2", "1", "cell", "0", "0", "", "0", "yes"],
        ["v.nii.gz", "all", "1", "cell", "4", "", "0.5", "1", "no"],
    ]
    assert table.empty == 0
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_images_in_which_nothing_was_found_are_counted(tmp_path: Path) -> None:
    with AreaTable(tmp_path) as table:
        table.add("a.png", [Area(1, "cell", 0, 0), Area(2, "nucleus", 0, 0)])
        table.add("b.png", [Area(1, "cell", 1, 1), Area(2, "nucleus", 0, 0)])
    assert table.empty == 1


def test_a_file_s_name_is_never_a_formula(tmp_path: Path) -> None:
    with AreaTable(tmp_path) as table:
        table.add("=cmd.png", [Area(1, "cell", 1, 1)])
    assert rows(tmp_path)[1][0] == "./=cmd.png"


def test_what_was_done_is_kept_when_the_work_is_broken_off(tmp_path: Path) -> None:
    def interrupted() -> None:
        with AreaTable(tmp_path) as table:
            table.add("a.png", [Area(1, "cell", 1, 1)])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(rows(tmp_path)) == 2


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=rf"{NAME}: it cannot be written"), AreaTable(tmp_path / "none"):
        pass
