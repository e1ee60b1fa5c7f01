# SPDX-License-Identifier: Apache-2.0
"""An image's look by hand, and which images of a site are looked at."""

from __future__ import annotations

import math
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from dsfedmed.data.datalist import Item, load_datalist
from dsfedmed.data.demo.sites import make_demo_sites
from dsfedmed.planning.look import evenly, image_look, look_at


def test_the_numbers_of_an_image_by_hand() -> None:
    grey = np.full((10, 10), 0.2, np.float32)
    mask = np.zeros((10, 10), np.uint8)
    grey[:4, :5], mask[:4, :5] = 0.8, 1  # 20 of 100 pixels
    found = image_look(grey, mask, 1, nested=True, spacing=(0.5, 0.5))
    assert (found.size, found.spacing) == ((10, 10), (0.5, 0.5))
    assert found.mean == pytest.approx(0.2 * 0.8 + 0.8 * 0.2)
    assert found.deviation == pytest.approx(0.6 * 0.4)  # two values, a fifth and four fifths of the image
    assert (found.low, found.high) == (pytest.approx(0.2), pytest.approx(0.8))
    # along x 5 of 90 neighbours differ by 0.6, along y 4 of 90
    assert found.edges == pytest.approx(9 / 90 * 0.36)
    assert found.contrast == pytest.approx(0.6)
    assert found.areas == (pytest.approx(0.2),)
    assert found.objects == ((pytest.approx(2 * math.sqrt(0.2 / math.pi)),),)


def test_nested_classes_count_the_higher_ones_in_and_others_do_not() -> None:
    mask = np.zeros((10, 10), np.uint8)
    mask[:4], mask[:2] = 1, 2
    grey = np.zeros((10, 10), np.float32)
    assert image_look(grey, mask, 2, nested=True).areas == (pytest.approx(0.4), pytest.approx(0.2))
    assert image_look(grey, mask, 2, nested=False).areas == (pytest.approx(0.2), pytest.approx(0.2))


def test_specks_and_ignored_pixels_are_no_objects() -> None:
    mask = np.zeros((10, 10), np.uint8)
    mask[0, 0], mask[5:7, 5:7], mask[9] = 1, 1, 255  # a speck, an object of four pixels, a row that is ignored
    grey = np.where(mask == 255, 1.0, 0.0).astype(np.float32)
    found = image_look(grey, mask, 1, nested=True)
    assert found.objects == ((pytest.approx(2 * math.sqrt(0.04 / math.pi)),),)
    assert found.areas == (pytest.approx(0.05),)
    assert found.contrast == 0.0  # the ignored row is neither inside nor outside


def test_without_a_mask_or_an_inside_there_is_no_contrast() -> None:
    grey = np.full((6, 6), 0.5, np.float32)
    bare = image_look(grey, None, 1, nested=True)
    assert (bare.contrast, bare.areas, bare.objects) == (None, None, ())
    empty = image_look(grey, np.zeros((6, 6), np.uint8), 1, nested=True)
    assert (empty.contrast, empty.areas, empty.objects) == (None, (0.0,), ((),))


def test_images_are_chosen_evenly() -> None:
    items = cast("list[Item]", list(range(10)))
    assert evenly(items, 4) == [0, 2, 5, 7]
    assert evenly(items, 20) == items


def test_a_test_part_is_not_looked_at(tmp_path: Path) -> None:
    (folder,) = make_demo_sites(tmp_path, 0, ("site_a",), training=3, validation=2, test=4)
    assert len(look_at(load_datalist(folder))) == 5
