# SPDX-License-Identifier: Apache-2.0
"""Inverted intensities: 1 - x of the image alone, with the asked probability, from the seed."""

from __future__ import annotations

import torch

from dsfedmed.data.intensity.inversion import RandInvertIntensityd


def test_the_image_is_inverted_and_the_label_is_not() -> None:
    sample = {"image": torch.tensor([[[0.0, 0.25, 1.0]]]), "label": torch.tensor([[[0, 1, 1]]], dtype=torch.uint8)}
    changed = RandInvertIntensityd("image", prob=1.0)(sample)
    assert changed["image"].tolist() == [[[1.0, 0.75, 0.0]]]
    assert torch.equal(changed["label"], sample["label"])
    assert sample["image"].tolist() == [[[0.0, 0.25, 1.0]]], "what was given stays as it is"
    assert RandInvertIntensityd("image", prob=0.0)(sample)["image"] is sample["image"]


def test_half_of_many_are_inverted_and_the_same_ones_again() -> None:
    change = RandInvertIntensityd("image", prob=0.5)
    found = []
    for _ in range(2):
        change.set_random_state(seed=3)
        found.append([float(change({"image": torch.zeros(1)})["image"]) for _ in range(400)])
    assert found[0] == found[1]
    assert 140 < sum(found[0]) < 260
