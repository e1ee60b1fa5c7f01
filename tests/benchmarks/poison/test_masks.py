# SPDX-License-Identifier: Apache-2.0
"""Wrong masks by hand; a copy of a site whose training masks alone are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsfedmed_benchmarks.poison.masks import MASKS, Mask, with_wrong_masks

MASK: Mask = np.array([[255, 0, 0, 0], [0, 0, 0, 0]], np.uint8)


def test_by_hand() -> None:
    assert MASKS["masks inverted"]([MASK])[0].tolist() == [[0, 255, 255, 255], [255, 255, 255, 255]]
    assert MASKS["masks shifted"]([MASK])[0].tolist() == [[0, 0, 0, 0], [0, 0, 255, 0]]
    other = np.zeros((4, 8), np.uint8)
    moved = MASKS["masks of other images"]([MASK, other, MASK, other])
    assert [mask.shape for mask in moved] == [(2, 4), (4, 8), (2, 4), (4, 8)]


@pytest.mark.parametrize("kind", MASKS)
def test_the_training_masks_of_a_copy_are_wrong_and_nothing_else(kind: str, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "labels").mkdir(parents=True)
    parts = {"training": ["a", "b", "c"], "test": ["t"]}
    for number, name in enumerate(name for names in parts.values() for name in names):
        mask = np.zeros((6, 6), np.uint8)
        mask[number, :3] = 255
        Image.fromarray(mask).save(site / "labels" / f"{name}.png")
    entries = {part: [{"label": f"labels/{name}.png"} for name in names] for part, names in parts.items()}
    (site / "datalist.json").write_text(json.dumps(entries))
    before = {path.name: path.read_bytes() for path in (site / "labels").iterdir()}
    with_wrong_masks(site, tmp_path / "copy", kind)
    changed = {name for name, content in before.items() if (tmp_path / "copy/labels" / name).read_bytes() != content}
    assert changed
    assert "t.png" not in changed
    assert {path.name: path.read_bytes() for path in (site / "labels").iterdir()} == before
