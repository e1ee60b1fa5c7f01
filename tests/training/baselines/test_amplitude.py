# SPDX-License-Identifier: Apache-2.0
"""FedDG's transform draws a site, one of its images, and how far an image goes towards it."""

from __future__ import annotations

import torch

from dsfedmed.data.batches import augmented_batches
from dsfedmed.training.baselines.amplitude import RandAmplitudesd

SITES = [torch.full((1, 1, 1, 1), 0.2), torch.tensor([0.8, 1.0]).view(2, 1, 1, 1)]
"""Mean brightness of one image of the first site, and of two of the second."""


def drawn(seed: int, count: int = 400) -> list[float]:
    images, labels = torch.full((count, 1, 2, 2), 0.5), torch.ones(count, 1, 2, 2, dtype=torch.uint8)
    batches = list(augmented_batches(images, labels, RandAmplitudesd(SITES), 50, seed))
    assert all(bool((batch["label"] == 1).all()) for batch in batches)
    return [float(value) for batch in batches for value in batch["image"].mean(dim=(1, 2, 3))]


def test_every_image_goes_by_a_drawn_share_towards_an_image_of_a_drawn_site() -> None:
    found = drawn(1)
    darker, far = (sum(test(value) for value in found) for test in (lambda v: v < 0.5, lambda v: v > 0.8))
    assert 150 < darker < 250, "each site alike, however many images it has"
    assert 20 < far < 60, "of the second site's half, half go towards 1.0, and two in five of these beyond 0.8"
    assert len({round(value, 4) for value in found}) > 300, "shares are drawn"
    assert 0.2 <= min(found) <= max(found) <= 1.0
    assert drawn(1) == found
    assert drawn(2) != found
