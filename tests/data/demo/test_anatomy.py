# SPDX-License-Identifier: Apache-2.0
"""Made-up anatomies: one or two lesions, and what is no lesion beside them."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label as components

from dsfedmed.data.demo.anatomy import Anatomy, draw_anatomy

SIZE = (80, 64)


def anatomies(count: int) -> list[Anatomy]:
    return [draw_anatomy(np.random.default_rng(number), SIZE) for number in range(count)]


def test_some_images_have_two_lesions_and_none_has_none() -> None:
    found = [components(anatomy.label)[1] for anatomy in anatomies(80)]
    assert set(found) == {1, 2}
    assert 0.15 < np.mean([count == 2 for count in found]) < 0.35


def test_lesions_are_neither_specks_nor_the_whole_image() -> None:
    for anatomy in anatomies(40):
        assert set(np.unique(anatomy.label)) == {0.0, 1.0}
        assert 0.01 < anatomy.label.mean() < 0.4


def test_maps_are_in_range_and_do_not_overlap() -> None:
    for anatomy in anatomies(20):
        assert 0.0 <= anatomy.lesions.min() <= anatomy.lesions.max() < 2.0
        for other in (anatomy.holes, anatomy.vessels):
            assert other.shape == SIZE
            assert 0.0 <= other.min() <= other.max() <= 1.0
            assert not other[anatomy.label > 0].max() > 0.5, "a lesion lies over everything else"
        assert np.max(anatomy.holes + anatomy.vessels) <= 1.0
        assert abs(anatomy.layers.mean()) < 1e-9
        assert abs(anatomy.layers.std() - 1.0) < 1e-9


def test_a_lesion_map_is_about_one_inside_and_nothing_outside() -> None:
    inside, outside = [], []
    for anatomy in anatomies(40):
        inside.append(anatomy.lesions[anatomy.label > 0].mean())
        outside.append(anatomy.lesions[anatomy.label == 0].mean())
    assert 0.8 < np.mean(inside) < 1.0, "less than one by its soft edge"
    assert np.mean(outside) < 0.03


def test_holes_and_vessels_lie_about() -> None:
    drawn = anatomies(40)
    assert np.mean([anatomy.holes.max() > 0.5 for anatomy in drawn]) > 0.6
    assert 0.2 < np.mean([anatomy.vessels.max() > 0.5 for anatomy in drawn]) < 0.8
