# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch

from dsfedmed.generator import mask_contrast, usable


def test_usable_images() -> None:
    good = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    blank = torch.full((1, 1, 16, 16), 0.5)
    white = good.clone()
    white[..., :11] = 1
    dark = good.clone()
    dark[..., :11] = 0
    broken = good.clone()
    broken[..., 0, 0] = float("nan")
    dot = torch.zeros(1, 1, 16, 16)
    dot[..., 0, :2] = 1
    images = torch.cat([good, blank, white, dark, broken, dot])
    assert usable(images).tolist() == [True, False, False, True, False, False]
    assert usable((images[:4] * 255).to(torch.uint8)).tolist() == [True, False, False, True]


def test_contrast_by_hand() -> None:
    images, masks = torch.full((1, 3, 9, 9), 0.2), torch.zeros(1, 1, 9, 9)
    masks[..., 3:6, 3:6] = 1
    images[..., 3:6, 3:6] = 0.9
    images[..., 0, :] = 5.0  # beyond the ring
    torch.testing.assert_close(mask_contrast(images, masks, ring_px=2), torch.tensor([0.7]))
    assert bool(mask_contrast(images, torch.zeros_like(masks)).isnan())
