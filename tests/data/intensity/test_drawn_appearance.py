# SPDX-License-Identifier: Apache-2.0
"""The two drawn appearances as transforms: of the image alone, within [0, 1], and the same from the same seed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from dsfedmed.data import RandBezierIntensityd, RandNonlinearIntensityd

RAMP = torch.linspace(0, 1, 64).view(1, 8, 8)
LABEL = torch.ones(1, 8, 8, dtype=torch.uint8)
KINDS = pytest.mark.parametrize("kind", [RandBezierIntensityd, RandNonlinearIntensityd])


def drawn(change: Any, image: Tensor, count: int, seed: int = 3) -> list[Tensor]:
    change.set_random_state(seed=seed)
    return [change({"image": image, "label": LABEL})["image"] for _ in range(count)]


@KINDS
def test_the_image_is_changed_and_the_label_is_not(kind: Any) -> None:
    sample = {"image": RAMP.clone(), "label": LABEL}
    change = kind("image", prob=1.0)
    change.set_random_state(seed=0)
    changed = change(sample)
    assert changed["label"] is LABEL
    assert not torch.equal(changed["image"], RAMP)
    assert torch.equal(sample["image"], RAMP), "what was given stays as it is"
    assert kind("image", prob=0.0)(sample)["image"] is sample["image"]


@KINDS
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_drawn_is_an_image_and_the_same_again(kind: Any, channels: int) -> None:
    image = torch.cat([RAMP, RAMP.flip(1), RAMP * 0.5])[:channels]
    first, again, other = (drawn(kind("image", prob=1.0), image, 20, seed) for seed in (3, 3, 4))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not any(torch.equal(one, two) for one, two in zip(first, other, strict=True))
    for found in first:
        assert (found.shape, found.dtype) == (image.shape, torch.float32)
        assert 0 <= found.min() < found.max() <= 1


@pytest.mark.parametrize(("falls", "least", "most"), [(0.0, 0, 0), (0.5, 70, 130), (1.0, 200, 200)])
def test_as_many_maps_fall_as_are_asked_for(falls: float, least: int, most: int) -> None:
    maps = drawn(RandBezierIntensityd("image", prob=1.0, falls=falls), RAMP, 200)
    assert least <= sum(bool(found.flatten()[0] > found.flatten()[-1]) for found in maps) <= most


def test_a_random_network_inverts_some_images_and_not_others() -> None:
    """The grey values of a ramp and of what comes out of it go together, or against each other."""
    found = drawn(RandNonlinearIntensityd("image", prob=1.0), RAMP, 100)
    signs = [float(torch.corrcoef(torch.stack([RAMP.flatten(), out.flatten()]))[0, 1]) for out in found]
    assert sum(sign < 0 for sign in signs) > 10
    assert sum(sign > 0 for sign in signs) > 40
