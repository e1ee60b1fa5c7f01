# SPDX-License-Identifier: Apache-2.0
"""A random set is no constant one, and one that the product reads."""

from __future__ import annotations

from pathlib import Path

import torch

from dsfedmed.data.synthetic import SyntheticSet
from dsfedmed_benchmarks.dummy_sites.random_set import random_labels, random_pair, write_random_set


def test_random_images_have_detail_and_repeat():
    image, label = random_pair(96, 3, seed=5)
    again, _ = random_pair(96, 3, seed=5)
    assert torch.equal(image, again)
    assert image.shape == (3, 96, 96)
    assert image.float().std() > 10
    assert (image[:, 1:].float() - image[:, :-1].float()).abs().mean() > 1, "neighbours differ: no constant image"
    assert 0 < label.float().mean() < 0.5
    assert set(random_labels(3, 32, 0).unique().tolist()) == {0, 1}


def test_the_random_set_is_a_set_of_the_product_s_and_no_two_images_are_alike(tmp_path: Path):
    manifest = write_random_set(tmp_path, ["a", "b"], 20, 16, 1, 32)
    images = SyntheticSet.open(tmp_path, manifest).images().flatten(1)
    assert manifest.origin == ("a",) * 20 + ("b",) * 20
    assert len(images.unique(dim=0)) == 40
