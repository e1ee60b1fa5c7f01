# SPDX-License-Identifier: Apache-2.0
"""The looks of public images, by hand, and a bank that draws them."""

from __future__ import annotations

import torch

from dsfedmed.generator.latents import LatentBank
from dsfedmed.generator.looks import AS_IS, GREY, INVERTED, LookBank, in_looks, look_count
from dsfedmed.generator.networks.codec import PixelUnshuffle

RED = [[[[1.0]], [[0.0]], [[0.0]]]]
PLAIN = PixelUnshuffle(1, 0.0, 1.0)


def test_looks_of_a_red_pixel_by_hand() -> None:
    """Inverted red is cyan; its grey is 0.299, red's part in the luminance."""
    images = torch.tensor(RED).expand(3, -1, -1, -1)
    found = in_looks(images, torch.tensor([AS_IS, INVERTED, GREY]))[:, :, 0, 0]
    expected = [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.299, 0.299, 0.299]]
    assert torch.allclose(found, torch.tensor(expected))


def test_a_grey_image_has_two_looks() -> None:
    assert (look_count(1), look_count(3)) == (2, 3)
    images = torch.tensor([[[[0.25, 1.0]]], [[[0.25, 1.0]]]])
    assert in_looks(images, torch.tensor([AS_IS, INVERTED])).flatten(1).tolist() == [[0.25, 1.0], [0.75, 0.0]]


def test_the_bank_draws_every_look_and_repeats_with_its_seed() -> None:
    images = (torch.tensor(RED) * 255).to(torch.uint8)
    chosen = torch.zeros(60, dtype=torch.int64)
    first, again, other = (LookBank(images, PLAIN, (), seed).pick(chosen, []) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    counts = torch.unique(first.flatten(1), dim=0, return_counts=True)[1]
    assert len(counts) == 3
    assert int(counts.min()) > 8


def test_it_flips_as_the_bank_of_a_site_does() -> None:
    """Of an image that is its own negative turned round, a look is either that image or its mirror image."""
    images = torch.tensor([[[[0, 255], [0, 255]]]], dtype=torch.uint8)
    chosen, flips = torch.zeros(8, dtype=torch.int64), [torch.arange(8) % 2 == 1, torch.zeros(8, dtype=torch.bool)]
    found = LookBank(images, PLAIN, (1, 0), 3).pick(chosen, flips)
    plain = LatentBank(images / 255, PLAIN, (1, 0)).pick(chosen, flips)
    same = (found == plain).flatten(1).all(dim=1)
    assert same.any()
    assert torch.equal(found[~same], 1 - plain[~same])
