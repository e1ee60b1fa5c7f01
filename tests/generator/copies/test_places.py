# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from dsfedmed.generator.copies.places import SIZES, likely_places, windows_of
from dsfedmed.generator.copies.structure import structure
from dsfedmed_benchmarks.performance.planted import placed
from tests.generator.pictures import pictures

TRAINING = pictures(10, 1)


def test_windows_have_unit_length_or_none() -> None:
    windows = windows_of(structure(torch.cat([TRAINING[:2], torch.zeros(1, 1, 64, 64)])))
    assert windows.vectors.shape == (3, len(windows.places), 63)
    length = windows.vectors.norm(dim=-1)
    torch.testing.assert_close(length[:2], torch.ones_like(length[:2]))
    assert float(length[2].max()) == 0
    assert sorted({round(size, 2) for size in windows.places[:, 0].tolist()}) == pytest.approx(SIZES, abs=0.02)
    assert float(windows.places[:, 1:].abs().max()) < 1


def test_a_copy_s_image_turn_and_place_come_first() -> None:
    own = windows_of(structure(TRAINING))
    image = TRAINING[3:4].rot90(1, (2, 3)).flip(3)
    found = likely_places(structure(image), own, 4)
    assert int(found.image[0, 0]) == 3
    size, angle, row, column, to_row, to_column = found.pose[0, 0].tolist()
    assert (size, angle) == (1, 0)
    assert (row, column) == pytest.approx((to_row, to_column), abs=0.07)


def test_size_and_shift_of_an_enlarged_copy() -> None:
    own = windows_of(structure(TRAINING))
    found = likely_places(structure(placed(TRAINING[5:6], zoom=1.25)), own, 1)
    size, _, row, column, to_row, to_column = found.pose[0, 0].tolist()
    assert (int(found.image[0, 0]), int(found.turn[0, 0]), size) == (5, 0, 1.25)
    assert (row, column) == pytest.approx((to_row / 1.25, to_column / 1.25), abs=0.1)


def test_excluded_images_are_not_looked_at() -> None:
    own = windows_of(structure(TRAINING))
    excluded = torch.zeros(1, 10, dtype=torch.bool)
    excluded[0, 3] = True
    found = likely_places(structure(TRAINING[3:4]), own, 8, excluded)
    assert 3 not in found.image[0].tolist()
    assert likely_places(structure(TRAINING[:1]), windows_of(structure(TRAINING[:1])), 20).image.shape == (1, 8)
