# SPDX-License-Identifier: Apache-2.0
"""Who is in which branch."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.generator.fit import MaskedImages
from dsfedmed_benchmarks.attacks.plan import balanced_halves, draw_canaries, draw_few


def test_each_image_is_in_half_of_the_shadows() -> None:
    halves = balanced_halves(50, 8, 0)
    assert halves.sum(dim=0).tolist() == [4] * 50
    assert 15 < int(halves[0].sum()) < 35
    assert not torch.equal(halves, balanced_halves(50, 8, 1))
    with pytest.raises(ValueError, match="cannot be halved"):
        balanced_halves(50, 3, 0)


def test_canaries_have_pictures_and_masks_of_different_images() -> None:
    found = draw_canaries(20, (1, 1, 4), 0)
    assert len({*found.pictures.tolist(), *found.masks.tolist()}) == 6
    pool = MaskedImages(torch.arange(20.0).view(20, 1, 1, 1), torch.arange(20.0).view(20, 1, 1, 1))
    planted = found.planted(pool)
    first, second, third = found.pictures.tolist()
    assert planted.images.flatten().tolist() == [first, second, *[third] * 4]
    assert planted.channels.flatten().tolist()[2:] == [found.masks[2]] * 4
    assert set(found.candidates(20).tolist()) == set(range(20)) - {first, second, third}
    with pytest.raises(ValueError, match="need 22 images"):
        draw_canaries(20, (1,) * 11, 0)


def test_few_are_so_many() -> None:
    assert int(draw_few(30, 7, 0).sum()) == 7
