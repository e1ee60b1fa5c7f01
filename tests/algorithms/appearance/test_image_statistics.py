# SPDX-License-Identifier: Apache-2.0
"""FedRDN's statistics of two toy sites, and an image under each of them, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from dsfedmed.algorithms.appearance.image_statistics import (
    LEAST,
    ChannelStatistics,
    mean_statistics,
    renormalised,
    statistics_of,
)

CHECKED = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
"""Mean 1/2; the deviations' squares sum to 1, over 3."""
A = torch.stack([CHECKED, torch.full((2, 2), 0.5)])[:, None]
B = (0.1 * A[:1]) + 0.25


def test_two_sites_by_hand() -> None:
    """A: a checked and an even image. B: one checked image between 0.25 and 0.35."""
    (a,), (b,) = statistics_of(A), statistics_of(B)
    assert (a.mean, a.deviation) == pytest.approx((0.5, math.sqrt(1 / 3) / 2))
    assert (b.mean, b.deviation) == pytest.approx((0.3, math.sqrt(0.01 / 3)))
    (both,) = mean_statistics([(a,), (b,)])
    assert (both.mean, both.deviation) == pytest.approx((0.4, math.sqrt(1 / 3) * 0.3))


def test_an_image_under_each_site_by_hand() -> None:
    """Deviations 0.5, 0.1 and their mean 0.3: what is one deviation above a site's mean comes to 0.4 + 0.3."""
    a, b = (ChannelStatistics(0.5, 0.5),), (ChannelStatistics(0.3, 0.1),)
    onto = mean_statistics([a, b])
    image = torch.tensor([[[0.3, 0.4, 1.0]]])
    assert renormalised(image, b, onto).flatten().tolist() == pytest.approx([0.4, 0.7, 2.5])
    assert renormalised(image, a, onto).flatten().tolist() == pytest.approx([0.28, 0.34, 0.7])
    assert renormalised(image, onto, onto).flatten().tolist() == pytest.approx([0.3, 0.4, 1.0])


def test_every_channel_has_its_own() -> None:
    images = torch.cat([A, 1 - 0.5 * A], dim=1)
    first, second = statistics_of(images)
    assert (first.mean, second.mean) == pytest.approx((0.5, 0.75))
    assert second.deviation == pytest.approx(first.deviation / 2)
    onto = (ChannelStatistics(0.0, 1.0),) * 2
    got = renormalised(images, (first, second), onto)
    assert got.mean(dim=(0, 2, 3)).tolist() == pytest.approx([0, 0], abs=1e-6)
    torch.testing.assert_close(got[:, 0], -got[:, 1])


def test_empty_images_have_a_least_spread() -> None:
    assert statistics_of(torch.zeros(3, 1, 4, 4)) == (ChannelStatistics(0.0, LEAST),)
