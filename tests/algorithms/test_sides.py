# SPDX-License-Identifier: Apache-2.0
"""Sides that a network does not divide, by hand."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.algorithms.sides import cut_back, extended, reflectable, up_to_multiple


def test_an_image_is_reflected_at_both_ends_by_hand() -> None:
    image = torch.tensor([[[[1.0, 2.0, 3.0, 4.0, 5.0]]]]).expand(1, 1, 4, 5)
    found = extended(image, 4)
    assert found.shape == (1, 1, 4, 8)
    assert found[0, 0, 0].tolist() == [2, 1, 2, 3, 4, 5, 4, 3], "one of three on the left, two on the right"
    assert torch.equal(cut_back(found, 4, 5), image)


def test_sides_that_divide_are_the_same_tensor() -> None:
    image = torch.rand(1, 2, 8, 12)
    assert extended(image, 4) is image
    assert cut_back(image, 8, 12) is image


@pytest.mark.parametrize(("side", "multiple", "up", "long_enough"), [
    (50, 8, 56, True), (64, 32, 64, True), (6, 16, 16, True), (5, 16, 16, False), (16, 32, 32, True),
])  # fmt: skip
def test_the_next_multiple_and_what_can_be_reflected(side: int, multiple: int, up: int, long_enough: bool) -> None:
    assert (up_to_multiple(side, multiple), reflectable(side, multiple)) == (up, long_enough)
    image = torch.rand(1, 1, side, side)
    if long_enough:
        assert extended(image, multiple).shape == (1, 1, up, up)
    else:
        with pytest.raises(RuntimeError):
            extended(image, multiple)
