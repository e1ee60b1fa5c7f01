# SPDX-License-Identifier: Apache-2.0
"""Made-up public images: labelled folders of shapes that are not lesions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsfedmed.data.checks import check_site
from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.demo.public import KINDS, draw_shape, make_public_shapes
from dsfedmed.errors import DataError


def test_public_shapes_are_labelled_folders_in_grey_and_colour(tmp_path: Path) -> None:
    folders = make_public_shapes(tmp_path, seed=1, count=31)
    assert [folder.name for folder in folders] == list(KINDS)
    datalists = [load_datalist(folder) for folder in folders]
    assert sum(len(items) for datalist in datalists for items in datalist.parts.values()) == 31
    modes = set()
    for folder in folders:
        assert all(finding.level == "warning" for finding in check_site(folder))  # no test part
        modes |= {Image.open(path).mode for path in (folder / "images").iterdir()}
        for path in (folder / "labels").iterdir():
            assert 0.005 < np.asarray(Image.open(path)).mean() < 0.6
        assert json.loads((folder / "datalist.json").read_text())["labels"] == {"0": "background", "1": "object"}
    assert modes == {"L", "RGB"}
    with pytest.raises(DataError, match="too few"):
        make_public_shapes(tmp_path, count=3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_object_looks_unlike_its_ground(kind: str) -> None:
    """Not in every image: a threshold must not find it. In most, its mean differs by a grey level of ten or more."""
    differences = []
    for seed in range(20):
        image, label = draw_shape(np.random.default_rng(seed), (72, 64), kind)
        assert image.shape[:2] == label.shape == (72, 64)
        assert set(np.unique(label)) == {0.0, 1.0}
        grey = image if image.ndim == 2 else image.mean(2)
        differences.append(abs(grey[label > 0].mean() - grey[label == 0].mean()))
    assert np.median(differences) > 10 / 255


def test_an_image_depends_on_seed_kind_and_number_alone(tmp_path: Path) -> None:
    few, more = make_public_shapes(tmp_path / "few", 5, 9), make_public_shapes(tmp_path / "more", 5, 12)
    for one, other in zip(few, more, strict=True):
        name = f"images/{one.name}_0002.png"
        assert (one / name).read_bytes() == (other / name).read_bytes()
