# SPDX-License-Identifier: Apache-2.0
"""The numbers of an image by hand, and the images that stand out by them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsfedmed.data.datalist import Item, SiteDatalist, load_datalist
from dsfedmed.data.review.items import ReviewedItem, label_areas, review_items, spacing_of
from dsfedmed.data.review.outliers import outliers
from dsfedmed.data.review.thumbnail import ALIKE, normalised_thumbnail
from tests.data.conftest import MakeSite, write_image


def test_numbers_by_hand(make_site: MakeSite) -> None:
    folder = make_site(training=1, validation=1, test=1)
    image, label = np.full((6, 10), 51, np.uint8), np.zeros((6, 10), np.uint8)
    image[:3], label[:3, :4] = 255, 2
    write_image(folder / "images/training0.png", image)
    write_image(folder / "labels/training0.png", label)
    (folder / "images/test0.png").write_bytes(b"junk")
    told: list[tuple[int, int]] = []
    first, second = review_items(load_datalist(folder), lambda done, total: told.append((done, total)))
    assert (first.part, second.part, told) == ("training", "validation", [(1, 3), (2, 3), (3, 3)])
    assert (first.size, first.spacing, first.values) == ((10, 6), None, (0, 2))
    assert (first.mean, first.spread) == (pytest.approx(0.6), pytest.approx(0.4))
    assert (first.labelled, first.areas) == (pytest.approx(0.2), pytest.approx((0.2, 0.2)))
    assert (first.inside, first.contrast) == (pytest.approx(1.0), pytest.approx(1 - (18 + 30 * 0.2) / 48))
    assert (first.histogram[6], first.histogram[31], first.histogram.sum()) == (30, 30, 60)


def test_areas_of_nested_and_exclusive_labels() -> None:
    label = np.array([[0, 1, 2, 2]], np.uint8)
    assert label_areas(label, 2, nested=True) == (0.75, 0.5)
    assert label_areas(label, 2, nested=False) == (0.25, 0.5)


def test_spacing_is_the_length_of_a_step() -> None:
    turned = np.array([[0, 2, 0, 5], [-0.5, 0, 0, 5], [0, 0, 1, 5], [0, 0, 0, 1]], dtype=np.float64)
    assert spacing_of(turned) == (0.5, 2.0)
    assert spacing_of(np.eye(4)) is None


def test_thumbnails_correlate_for_copies_only() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.random((64, 48)).astype(np.float32), rng.random((64, 48)).astype(np.float32)
    first, second, third = (normalised_thumbnail(grey) for grey in (one, one * 0.5 + 0.2, other))
    assert first is not None
    assert second is not None
    assert third is not None
    assert float(first @ second) == pytest.approx(1, abs=1e-4)
    assert float(first @ third) < 0.3 < ALIKE
    assert normalised_thumbnail(np.full((64, 48), 0.7, np.float32)) is None


USUAL = ReviewedItem(
    Item(Path("a.png"), Path("b.png"), "a"), "training", (40, 30), None, 0.3, 0.1, np.zeros(32, np.int64), 0.1, (0.1,),
    (0, 1), 0.2, 0.5, "", None,
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labelled": 0.0, "inside": None, "contrast": None}, "the mask is empty"),
        ({"labelled": 1.0, "contrast": None}, "the mask covers the whole image"),
        ({"labelled": 0.01}, "the labelled share is 1.0%, usually 10.0%"),
        ({"mean": 0.8}, "its mean grey value is 0.80, usually 0.30"),
        ({"inside": 0.1}, "the mean grey value inside the mask is 0.10, usually 0.50"),
        ({"contrast": -0.1}, "inside the mask it is darker than outside, usually brighter"),
        ({"size": (30, 40)}, "its size is 30 x 40, usually 40 x 30: turned by a quarter?"),
    ],
)
def test_an_image_stands_out_for_one_reason(change: dict[str, Any], words: str) -> None:
    items = [USUAL] * 12
    assert outliers(items) == {}
    items[7] = replace(USUAL, **change)
    found = outliers(items)
    assert list(found) == [7]
    assert any(reason.startswith(words) for reason in found[7])


def test_nothing_is_usual_of_four_images_or_without_masks() -> None:
    assert outliers([USUAL, USUAL, USUAL, replace(USUAL, mean=0.9)]) == {}
    bare = replace(USUAL, labelled=None, areas=None, values=(), contrast=None, inside=None)
    assert outliers([bare] * 9) == {}
    assert outliers([]) == {}


def test_unsteady_contrast_is_not_judged() -> None:
    mixed = [replace(USUAL, contrast=sign * 0.2) for sign in (1, -1, 1, -1, 1, -1)]
    assert outliers(mixed) == {}


def test_a_site_without_items_has_none_to_review() -> None:
    empty = SiteDatalist("s", Path("s"), {0: "b", 1: "l"}, True, {"training": (), "validation": (), "test": ()}, "")
    assert review_items(empty) == []
