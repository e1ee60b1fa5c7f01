# SPDX-License-Identifier: Apache-2.0
"""The cost of reading is a ratio to a plain decode of the same files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dsfedmed.data.datalist import load_datalist
from dsfedmed.errors import ConfigError
from dsfedmed_benchmarks.performance.reading import COLUMNS, ReadingOptions, made, png_pairs, run


def site(folder: Path, suffix: str = ".png") -> Path:
    """A site of two made pictures."""
    pairs = made(folder / "images", (64, 48), 2)
    items = [{"image": f"images/{image.name}", "label": f"images/{label.name}"} for image, label in pairs]
    if suffix != ".png":
        for item in items:
            (folder / item["image"]).rename((folder / item["image"]).with_suffix(suffix))
            item["image"] = str(Path(item["image"]).with_suffix(suffix))
    document = {"labels": {"0": "background", "1": "lesion"}, "training": items}
    (folder / "datalist.json").write_text(json.dumps(document))
    return folder


def test_every_set_is_a_row_whose_ratio_adds_up(tmp_path: Path) -> None:
    table = run(ReadingOptions(sites=(site(tmp_path / "group" / "site_a"),), pairs=3, repeats=2))
    assert [row[0] for row in table.rows] == ["made, grey", "made, RGB", "group/site_a"]
    assert [row[1] for row in table.rows] == [3, 3, 2]
    assert table.rows[2][2] == "48 x 64 L"
    for row in table.rows:
        found = dict(zip(COLUMNS, row, strict=True))
        assert found["ratio"] == pytest.approx(found["reading (ms)"] / found["plain decode (ms)"])
        assert 0 < found["reading (ms)"] < found["to tensors (ms)"]


def test_a_site_without_png_and_counts_of_none_are_refused(tmp_path: Path) -> None:
    folder = site(tmp_path / "site_b", ".bmp")
    with pytest.raises(ConfigError, match="has no PNG"):
        png_pairs(load_datalist(folder), 5)
    with pytest.raises(ConfigError, match="run from 1"):
        ReadingOptions(pairs=0)
