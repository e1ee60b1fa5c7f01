# SPDX-License-Identifier: Apache-2.0
"""Gradient inversion finds an image of a small network, and its parts are right by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dsfedmed_benchmarks.attacks.gradients import (
    Inversion,
    cosine_distance,
    invert,
    peak_signal_to_noise,
    smooth_signs,
    total_variation,
)


def test_parts_by_hand() -> None:
    image = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])
    assert float(total_variation(image)) == 1
    left, right = [torch.tensor([3.0]), torch.tensor([0.0])], [torch.tensor([0.0]), torch.tensor([2.0])]
    assert float(cosine_distance(left, right)) == 1
    assert float(cosine_distance(left, [2 * each for each in left])) == pytest.approx(0, abs=1e-6)
    signs = smooth_signs([torch.tensor([-1.0, 3.0]), torch.tensor([1.0])])
    torch.testing.assert_close(torch.cat(signs), torch.tensor([-0.5, 0.75, 0.5]))
    assert float(peak_signal_to_noise(image, image + 0.1)) == pytest.approx(20, abs=1e-4)
    assert float(peak_signal_to_noise(image, image)) == pytest.approx(100)


@pytest.mark.parametrize("signs", [False, True])
def test_an_image_is_found_again(signs: bool) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 1, 3, padding=1))
    image = torch.zeros(1, 1, 8, 8)
    image[..., 2:6, 3:7] = 0.8
    target = (image > 0).float()
    loss = nn.BCEWithLogitsLoss()
    seen = list(torch.autograd.grad(loss(network(image), target), list(network.parameters())))
    seen = [each.sign() for each in seen] if signs else seen
    found = invert(network, loss, seen, target, 1, Inversion(150, variation=1e-3, signs=signs))
    assert found.min() >= 0
    assert found.max() <= 1
    noise = invert(network, loss, [torch.randn_like(each) for each in seen], target, 1, Inversion(150))
    better, worse = (float(peak_signal_to_noise(each, image)) for each in (found, noise))
    assert better > worse + 1
