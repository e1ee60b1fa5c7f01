# SPDX-License-Identifier: Apache-2.0
"""FedRDN's transform draws a site for every image anew, and its network sees a site's own normalisation."""

from __future__ import annotations

import torch
from torch import nn

from dsfedmed.algorithms.appearance.image_statistics import ChannelStatistics
from dsfedmed.data.batches import augmented_batches
from dsfedmed.training.baselines.statistics import OwnStatistics, RandStatisticsd

SITES = [(ChannelStatistics(mean, 0.5),) for mean in (0.0, 0.5, 1.0)]
ONTO = (ChannelStatistics(0.0, 0.5),)
"""What each of the three takes away from an image is its mean."""


def drawn(seed: int, count: int = 300) -> list[float]:
    images, labels = torch.full((count, 1, 2, 2), 1.0), torch.ones(count, 1, 2, 2, dtype=torch.uint8)
    batches = list(augmented_batches(images, labels, RandStatisticsd(SITES, ONTO), 50, seed))
    assert all(bool((batch["label"] == 1).all()) for batch in batches)
    assert all(bool((batch["image"] == batch["image"][..., :1, :1]).all()) for batch in batches), "one site an image"
    return [float(value) for batch in batches for value in batch["image"][:, 0, 0, 0]]


def test_each_image_takes_the_statistics_of_a_drawn_site() -> None:
    found = drawn(1)
    assert {round(value, 5) for value in found} == {1.0, 0.5, 0.0}
    assert all(70 < sum(abs(value - known) < 1e-5 for value in found) < 130 for known in (0.0, 0.5, 1.0))
    assert drawn(1) == found
    assert drawn(2) != found


def test_a_network_is_given_images_under_the_site_s_own_statistics() -> None:
    network = nn.Conv2d(1, 1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(2.0)
    seen = OwnStatistics(network, SITES[1], ONTO)
    assert seen(torch.full((1, 1, 1, 1), 0.75)).item() == 0.5, "2 (0.75 - 0.5)"
    assert [name for name, _ in seen.named_parameters()] == ["network.weight"], "the very same network"
