# SPDX-License-Identifier: Apache-2.0
"""Augmentation of the teacher's pre-training."""

from __future__ import annotations

import torch

from dsfedmed.training.teacher.pretrain_augmentation import augment, recolour


def test_augmentation_moves_image_and_mask_alike() -> None:
    masks = torch.zeros(16, 1, 80, 80)
    masks[:, :, 20:60, 28:52] = 1.0
    images = (0.2 + 0.6 * masks).repeat(1, 3, 1, 1)
    warped, moved = augment(images, masks, 64, torch.Generator().manual_seed(0))
    assert warped.shape == (16, 3, 64, 64)
    assert moved.shape == (16, 1, 64, 64)
    assert set(torch.unique(moved).tolist()) == {0.0, 1.0}
    assert 0.0 <= warped.min() <= warped.max() <= 1.0
    grey, inside = warped.mean(1, keepdim=True), moved.bool()
    contrast = torch.stack([g[m].mean() - g[~m].mean() for g, m in zip(grey, inside, strict=True)]).abs()
    assert (contrast > 0.15).float().mean() > 0.9  # whichever way the intensities were turned


def test_augmentation_replays_from_its_generator() -> None:
    images, masks = torch.rand(4, 3, 40, 40), (torch.rand(4, 1, 40, 40) > 0.5).float()
    results = [augment(images, masks, 32, torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(results[0][0], results[1][0])
    assert not torch.equal(results[0][0], results[2][0])


def test_recolour_drops_colour_in_some_images_and_keeps_it_in_others() -> None:
    image = torch.stack([torch.full((32, 32), 0.9), torch.rand(32, 32), torch.full((32, 32), 0.2)])
    images = image.expand(64, -1, -1, -1)
    result = recolour(images.clone(), torch.Generator().manual_seed(0))
    coloured = (result[:, 0] - result[:, 2]).abs().mean((1, 2)) > 0.1
    assert 5 < int(coloured.sum()) < 59
