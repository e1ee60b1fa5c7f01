# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from dsfedmed.generator.copies.whole import best_correlation, descriptors, turned_descriptors
from tests.generator.pictures import pictures


def test_brightness_does_not_count_and_a_blank_image_matches_nothing() -> None:
    image = pictures(1, 5)
    torch.testing.assert_close(descriptors(image), descriptors(0.5 * image + 0.25), atol=1e-5, rtol=0)
    assert float(descriptors(torch.full((1, 3, 48, 48), 0.7)).abs().max()) == 0
    assert float(descriptors(image).norm()) == pytest.approx(1, abs=1e-5)


def test_channels_of_opposite_contrast_do_not_cancel() -> None:
    """T1 and T2 of one picture: their mean is flat, and a copy still correlates by 1, another picture hardly."""
    first, other = pictures(1, 5), pictures(1, 6)
    pair, stranger = (torch.cat([image, 1 - image], dim=1) for image in (first, other))
    found = descriptors(pair)
    assert found.shape == (1, 2 * 1024)
    assert float(found.norm()) == pytest.approx(1, abs=1e-5)
    own = turned_descriptors(pair)
    assert float(best_correlation(0.5 * pair + 0.25, own)) == pytest.approx(1, abs=1e-4)
    assert float(best_correlation(stranger, own)) < 0.6


def test_the_best_of_turns_signs_and_images_by_hand() -> None:
    own = torch.zeros(8, 2, 1024)
    image = pictures(1, 1)
    unit = descriptors(image)[0]
    own[3, 0], own[0, 1] = -0.6 * unit, 0.4 * unit
    assert float(best_correlation(image, own)) == pytest.approx(0.6, abs=1e-5)
    assert float(best_correlation(image, own, torch.tensor([[True, False]]))) == pytest.approx(0.4, abs=1e-5)


def test_every_position_of_an_image_is_found() -> None:
    image = pictures(1, 4)
    own = turned_descriptors(image)
    for turns in range(4):
        for shown in (image.rot90(turns, (2, 3)), 1 - image.rot90(turns, (2, 3)).flip(3)):
            assert float(best_correlation(shown, own)) == pytest.approx(1, abs=1e-4)
