# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dsfedmed.errors import DataError
from dsfedmed.generator.audit import audit, descriptors, nearest_distances


def pictures(count: int, seed: int) -> Tensor:
    """Return smooth random images (count, 1, 64, 64) in [0, 1]."""
    coarse = torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(coarse, size=(64, 64), mode="bicubic").clamp(0, 1)


def test_copies_are_vetoed_and_fresh_images_are_not() -> None:
    training, held_out, fresh = pictures(30, 1), pictures(20, 2), pictures(40, 3)
    noise = 0.05 * torch.randn(training[3:4].shape, generator=torch.Generator().manual_seed(4))
    copies = torch.cat(
        [
            training[:1],
            training[1:2].flip(2),
            training[2:3].flip(2, 3),
            (training[3:4] + noise).clamp(0, 1),
            0.5 * training[4:5] + 0.3,
        ]
    )
    result = audit((torch.cat([fresh, copies]) * 255).round().to(torch.uint8), training, held_out)
    assert result.distances.shape == (45,)
    assert result.vetoed.dtype == torch.int64
    assert set(range(40, 45)) <= set(result.vetoed.tolist())
    assert len(result.vetoed) <= 7
    assert float(result.distances[40:].max()) < 0.01 < result.threshold


def test_threshold_is_the_quantile_of_the_held_out_distances() -> None:
    training, held_out = pictures(10, 1), pictures(9, 2)
    own = descriptors(torch.cat([training, training.flip(2), training.flip(3), training.flip(2, 3)]))
    baseline = nearest_distances(descriptors(held_out), own)
    result = audit(held_out, training, held_out, quantile=0.5)
    assert result.threshold == pytest.approx(float(baseline.median()))
    assert len(result.vetoed) == 4
    torch.testing.assert_close(result.distances, baseline)


def test_distance_by_hand() -> None:
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    second = torch.tensor([[0.6, 0.8], [-1.0, 0.0]])
    torch.testing.assert_close(nearest_distances(first, second), torch.tensor([0.4, 0.2]))


def test_descriptors_ignore_brightness_and_a_blank_image_matches_nothing() -> None:
    image = pictures(1, 5)
    torch.testing.assert_close(descriptors(image), descriptors(0.5 * image + 0.25), atol=1e-5, rtol=0)
    assert float(descriptors(torch.full((1, 3, 48, 48), 0.7)).abs().max()) == 0
    assert float(descriptors(image).norm()) == pytest.approx(1, abs=1e-5)


def test_channels_of_opposite_contrast_do_not_cancel() -> None:
    """T1 and T2 of one picture: their mean is flat, and a copy is still at distance 0, another picture far."""
    first, other = pictures(1, 5)[:, :1], pictures(1, 6)[:, :1]
    pair, stranger = (torch.cat([image, 1 - image], dim=1) for image in (first, other))
    found = descriptors(pair)
    assert found.shape == (1, 2 * 1024)
    assert float(found.norm()) == pytest.approx(1, abs=1e-5)
    assert float(nearest_distances(descriptors(0.5 * pair + 0.25), found)) == pytest.approx(0, abs=1e-4)
    expected = nearest_distances(descriptors(other), descriptors(first))
    torch.testing.assert_close(nearest_distances(descriptors(stranger), found), expected, atol=1e-4, rtol=0)


def test_no_baseline_no_verdict() -> None:
    with pytest.raises(DataError, match=r"site_b: 4 training and 7 held-out.*at least 8"):
        audit(pictures(1, 0), pictures(4, 1), pictures(7, 2), where="site_b")
    with pytest.raises(DataError, match="0 training"):
        audit(pictures(1, 0), pictures(0, 1), pictures(8, 2))
    with pytest.raises(DataError, match="quantile"):
        audit(pictures(1, 0), pictures(4, 1), pictures(8, 2), quantile=1.0)


def test_nothing_to_check() -> None:
    result = audit(pictures(0, 0), pictures(4, 1), pictures(8, 2))
    assert result.distances.shape == (0,)
    assert result.vetoed.shape == (0,)
