# SPDX-License-Identifier: Apache-2.0
"""The likelihood ratio on a toy model whose distributions are known."""

from __future__ import annotations

import pytest
import torch

from dsfedmed_benchmarks.attacks.likelihood import likelihood_ratios
from dsfedmed_benchmarks.attacks.plan import balanced_halves
from dsfedmed_benchmarks.attacks.scores import area_under_curve


def test_a_ratio_by_hand() -> None:
    shadows = torch.tensor([[2.0, 9.0], [4.0, 11.0], [0.0, 4.0], [0.0, 6.0]])
    inside = torch.tensor([[True, True], [True, True], [False, False], [False, False]])
    found = likelihood_ratios(torch.tensor([3.0, 5.0]), shadows, inside)
    near, far = 2.0**0.5, 1.0  # inside: four values at distance 1 of two means; outside: 0, 0 and 1, 1
    first = 0 - torch.tensor(near).log() - (-((3 - 0) ** 2) / (2 * far**2))
    second = -((5 - 10) ** 2) / (2 * near**2) - torch.tensor(near).log() - 0
    torch.testing.assert_close(found, torch.stack([first, second]).double())


def test_it_beats_the_score_alone_where_images_differ_in_difficulty() -> None:
    draws = torch.Generator().manual_seed(0)
    images, gain = 400, 1.0
    difficulty = 10 * torch.randn(images, generator=draws)
    inside = balanced_halves(images, 8, 0)
    shadows = difficulty + gain * inside + 0.5 * torch.randn(8, images, generator=draws)
    member = torch.rand(images, generator=draws) < 0.5
    target = difficulty + gain * member + 0.5 * torch.randn(images, generator=draws)
    ratios = likelihood_ratios(target, shadows, inside)
    assert area_under_curve(target[member], target[~member]) < 0.6
    assert area_under_curve(ratios[member], ratios[~member]) > 0.85


def test_an_image_in_all_shadows_is_refused() -> None:
    with pytest.raises(ValueError, match="all shadows"):
        likelihood_ratios(torch.zeros(1), torch.zeros(2, 1), torch.ones(2, 1, dtype=torch.bool))
