# SPDX-License-Identifier: Apache-2.0
"""The error that counts the masked region for itself, by hand."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.generator.focus import focused_error


def _one_position(row: int, column: int) -> torch.Tensor:
    """A mask of one pixel, in an image of 16 x 16 whose latents are 4 x 4."""
    mask = torch.zeros(1, 1, 16, 16)
    mask[0, 0, 4 * row + 1, 4 * column + 3] = 1
    return mask


def test_the_region_is_what_the_mask_touches_and_its_neighbours() -> None:
    """Errors 0 to 15 over the positions: mean 7.5; a mask at the corner (0, 0) has positions 0, 1, 4 and 5: 2.5."""
    squares = torch.arange(16.0).view(1, 1, 4, 4).repeat(1, 3, 1, 1)
    assert focused_error(squares, _one_position(0, 0), 1.0).item() == pytest.approx((7.5 + 2.5) / 2)
    assert focused_error(squares, _one_position(0, 0), 3.0).item() == pytest.approx((7.5 + 3 * 2.5) / 4)
    middle = (0 + 1 + 2 + 4 + 5 + 6 + 8 + 9 + 10) / 9
    assert focused_error(squares, _one_position(1, 1), 1.0).item() == pytest.approx((7.5 + middle) / 2)


def test_no_weight_and_no_mask_are_the_plain_mean() -> None:
    squares = torch.rand(2, 16, 4, 4, generator=torch.Generator().manual_seed(0))
    plain = squares.mean(dim=(1, 2, 3))
    masks = torch.cat([_one_position(2, 2), torch.zeros(1, 1, 16, 16)])
    assert torch.equal(focused_error(squares, masks, 0.0), plain)
    focused = focused_error(squares, masks, 2.0)
    assert focused[0] != plain[0]
    assert focused[1] == plain[1]


def test_nested_classes_are_one_region() -> None:
    squares = torch.arange(16.0).view(1, 1, 4, 4)
    cup, disc = _one_position(0, 0), torch.zeros(1, 1, 16, 16)
    assert torch.equal(focused_error(squares, torch.cat([disc, cup], dim=1), 2.0), focused_error(squares, cup, 2.0))
