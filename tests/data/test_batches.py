# SPDX-License-Identifier: Apache-2.0
"""Training batches: every sample once, in register, and the same for the same seed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.data.meta_obj import get_track_meta
from monai.transforms import Compose, RandAffined, RandFlipd, RandGaussianNoised

from dsfedmed.data.batches import augmented_batches
from dsfedmed.errors import ConfigError


def samples(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose value at each pixel is also in the label, so that register can be seen."""
    labels = torch.randint(0, 3, (count, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return labels.float() / 2, labels


def geometry(keys: tuple[str, ...]) -> Compose:
    return Compose(
        [
            RandFlipd(keys, prob=0.5, spatial_axis=0, allow_missing_keys=True),
            RandAffined(
                keys, prob=0.7, rotate_range=0.5, translate_range=2, mode="nearest", padding_mode="zeros",
                allow_missing_keys=True,
            ),
            RandGaussianNoised("image", prob=0.0),
        ]
    )  # fmt: skip


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 99))
def test_every_sample_once(count: int, batch_size: int, seed: int) -> None:
    images = torch.arange(count).float().view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    batches = list(augmented_batches(images, images.to(torch.uint8), None, batch_size, seed))
    assert all(len(batch["image"]) == batch_size for batch in batches[:-1])
    seen = torch.cat([batch["image"][:, 0, 0, 0] for batch in batches]).tolist()
    assert sorted(seen) == list(range(count))
    assert all(torch.equal(batch["image"].to(torch.uint8), batch["label"]) for batch in batches)


def test_image_label_and_soft_targets_stay_in_register() -> None:
    images, labels = samples(10)
    soft = torch.cat([images, 1 - images], dim=1)
    augmentation = geometry(("image", "label", "soft"))
    changed = 0
    for batch in augmented_batches(images, labels, augmentation, 4, seed=3, extra=soft):
        assert torch.equal(batch["image"] * 2, batch["label"].float())
        assert torch.equal(batch["soft"][:, :1], batch["image"])
        assert batch["label"].dtype == torch.uint8
        assert not isinstance(batch["image"], MetaTensor)
        changed += sum(not any(torch.equal(image, own) for own in images) for image in batch["image"])
    assert changed > 3
    assert get_track_meta()


def test_the_seed_decides() -> None:
    images, labels = samples(6)
    augmentation = geometry(("image", "label"))
    first, again, other = (
        torch.cat([batch["image"] for batch in augmented_batches(images, labels, augmentation, 4, seed)])
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_workers_change_nothing_and_leave_the_global_draws_alone() -> None:
    images, labels = samples(7)
    torch.manual_seed(5)
    alone, both = (
        list(augmented_batches(images, labels, geometry(("image", "label")), 3, 1, workers=workers))
        for workers in (0, 2)
    )
    assert [len(batch["image"]) for batch in both] == [3, 3, 1]
    assert all(torch.equal(one[key], two[key]) for one, two in zip(alone, both, strict=True) for key in one)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))


def test_soft_targets_may_not_fall_out_of_register() -> None:
    images, labels = samples(2)
    with pytest.raises(ConfigError, match=r"RandFlipd.*soft"):
        next(augmented_batches(images, labels, geometry(("image", "label")), 2, 0, extra=images))
    intensity = Compose([RandGaussianNoised("image", prob=1.0)])  # moves nothing, so it may leave them alone
    batch = next(augmented_batches(images, labels, intensity, 2, 0, extra=images))
    assert torch.equal(batch["soft"] * 2, batch["label"].float())
    assert not torch.equal(batch["image"], batch["soft"])
