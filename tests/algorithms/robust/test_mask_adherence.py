# SPDX-License-Identifier: Apache-2.0
"""The best single mask and what a network gains over it, by hand."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.algorithms.robust.mask_adherence import Following, constant_dice, following


def masks(*rows: list[int]) -> torch.Tensor:
    """Masks of one class on a row of pixels, (N, 1, 1, S)."""
    return torch.tensor(rows, dtype=torch.float32)[:, None, None]


def test_the_best_single_mask_is_what_most_share() -> None:
    known = masks([1, 1, 0, 0], [1, 0, 1, 0])
    # The first pixel alone: 2/3 and 1; it and the next two: 4/5 and 1/2, mean 0.65; all four: 2/3 and 2/5.
    assert constant_dice(known, masks([1, 1, 0, 0], [1, 0, 0, 0])) == pytest.approx((2 / 3 + 1) / 2)


def test_no_pixel_and_every_pixel_are_tried_as_well() -> None:
    known = masks([1, 0, 0, 0], [1, 0, 0, 0])
    assert constant_dice(known, masks([0, 0, 0, 0], [0, 0, 0, 0])) == 1
    assert constant_dice(known, masks([1, 1, 1, 1], [1, 1, 1, 1])) == 1


def test_every_class_has_a_mask_of_its_own() -> None:
    known = torch.cat([masks([1, 1, 0, 0]), masks([0, 0, 0, 1])], dim=1)
    asked = torch.cat([masks([1, 1, 0, 0]), masks([0, 0, 1, 0])], dim=1)
    assert constant_dice(known, asked) == pytest.approx((1 + 2 / 5) / 2)


def test_what_is_followed_is_the_share_that_the_single_mask_leaves() -> None:
    assert Following(0.7, 0.4).share == pytest.approx(0.5)
    assert Following(0.1, 0.4).share == pytest.approx(-0.5)
    assert Following(1.0, 0.995).share is None, "where all masks are alike there is nothing to follow"


def test_objects_or_background_are_followed_whichever_shows_it_better() -> None:
    """Turned round, the same prediction of the same masks says the same."""
    known = masks([1, 0, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0])
    asked = masks([0, 0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0])
    # Both sides are followed wholly; the best single mask has 2/9 of the objects and 14/15 of the background.
    found = following(asked, known, asked)
    assert (found.dice, found.constant) == (1, pytest.approx(2 / 9))
    assert following(1 - asked, 1 - known, 1 - asked) == found
    assert (following(asked * 0, known, asked).share or 0) < 0.1
