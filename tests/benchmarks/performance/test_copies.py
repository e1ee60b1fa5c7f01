# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.errors import DSFedMedError
from dsfedmed_benchmarks.performance.copies import Options, as_stored, run
from dsfedmed_benchmarks.performance.planted import DISGUISES, GREY


def test_the_table_has_a_column_a_site_and_adds_up(tmp_path: Path) -> None:
    (folder,) = make_demo_sites(tmp_path, 0, ["site_a"], training=10, validation=10, test=6)
    table = run(Options((folder,), planted=5), say=lambda _: None)
    rows = {str(way): value for way, value in table.rows}
    assert table.columns[0] == "disguise"
    assert len(table.columns) == 2
    assert rows["none"] == 100
    assert rows["quarter turn"] == 100
    assert (rows["training images"], rows["copies in each disguise"], rows["images that are no copies"]) == (10, 5, 6)
    with pytest.raises(DSFedMedError, match="planted"):
        Options((folder,), planted=0)


def test_disguises_by_hand() -> None:
    image = torch.arange(16.0).view(1, 1, 4, 4) / 16
    other = torch.ones(1, 1, 4, 4)
    half = DISGUISES["left half beside another image"](image, other)[0, 0]
    assert half[:, 2:].tolist() == [[1.0, 1.0]] * 4
    torch.testing.assert_close(half[:, :2], image[0, 0, :, :2])
    centre = DISGUISES["centre painted grey"](image, other)[0, 0]
    assert centre[1:3, 1:3].tolist() == [[GREY] * 2] * 2
    torch.testing.assert_close(centre[0], image[0, 0, 0])
    band = DISGUISES["middle rows, rest grey"](image, other)[0, 0]
    assert band[0].tolist() == [GREY] * 4
    torch.testing.assert_close(band[1:3], image[0, 0, 1:3])
    moved = DISGUISES["moved 12 % on both sides"](torch.eye(25)[None, None], other)
    torch.testing.assert_close(moved[0, 0, :21, :21], torch.eye(25)[3:24, 3:24], atol=1e-4, rtol=0)
    assert as_stored(torch.tensor([-1.0, 0.5, 2.0])).tolist() == [0, 128, 255]


def test_every_disguise_keeps_shape_and_repeats() -> None:
    images, others = torch.rand(3, 3, 32, 32), torch.rand(2, 3, 32, 32)
    for disguise in DISGUISES.values():
        made = disguise(images, others)
        assert made.shape == images.shape
        torch.testing.assert_close(made, disguise(images, others))
