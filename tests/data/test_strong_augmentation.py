# SPDX-License-Identifier: Apache-2.0
"""The strong view: intensity only, seeded, in [0, 1]."""

from __future__ import annotations

import torch

from dsfedmed.data.strong_augmentation import strong_view


def squares(count: int, seed: int, side: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Bright squares on dark ground, with noise, and their masks."""
    random = torch.Generator().manual_seed(seed)
    masks = torch.zeros(count, 1, side, side)
    for mask in masks:
        top, left = torch.randint(2, 8, (2,), generator=random).tolist()
        mask[0, top : top + 6, left : left + 6] = 1
    return (0.2 + 0.6 * masks + 0.05 * torch.randn(masks.shape, generator=random)).clamp(0, 1), masks


def test_the_strong_view_changes_intensity_in_place_and_repeats() -> None:
    images, masks = squares(6, 3)
    first, again, other = strong_view(images, 1), strong_view(images, 1), strong_view(images, 2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, images)
    assert float(first.min()) >= 0
    assert float(first.max()) <= 1
    inside, outside = (first * masks).sum() / masks.sum(), (first * (1 - masks)).sum() / (1 - masks).sum()
    assert float(inside) > float(outside) + 0.1, "what was bright is still there"


def test_an_image_has_its_view_whatever_batch_it_comes_in() -> None:
    images, _ = squares(6, 3)
    assert torch.equal(strong_view(images, 1)[:2], strong_view(images[:2], 1))
