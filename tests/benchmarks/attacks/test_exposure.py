# SPDX-License-Identifier: Apache-2.0
"""Distances, ranks and exposure, by hand."""

from __future__ import annotations

import pytest
import torch

from dsfedmed_benchmarks.attacks.exposure import calibrated, chance_exposure, distances, exposure, rank_of


def test_distance_does_not_see_brightness_and_contrast() -> None:
    picture = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = distances(torch.cat([picture, 0.5 * picture + 0.2, 1 - picture]), picture)
    torch.testing.assert_close(found.flatten(), torch.tensor([0.0, 0.0, 2.0]), atol=1e-5, rtol=0)


def test_exposure_of_the_first_and_the_last_place() -> None:
    candidates = torch.tensor([0.5, 0.6, 0.7])
    assert rank_of(0.1, candidates) == 1
    assert rank_of(0.6, candidates) == 2.5
    assert rank_of(0.9, candidates) == 4
    assert exposure(1, 3) == 2
    assert exposure(4, 3) == 0


def test_chance_is_that_of_uniform_ranks() -> None:
    assert chance_exposure(1, 3, 0.2) == 0
    assert chance_exposure(1, 3, 0.5) in (pytest.approx(0.415, abs=0.01), 1.0)
    assert chance_exposure(1, 127, 0.975) == pytest.approx(-torch.tensor(0.025).log2().item(), abs=0.5)
    assert chance_exposure(16, 127, 0.975) < chance_exposure(1, 127, 0.975)


def test_calibration_takes_away_what_every_mask_comes_near_to() -> None:
    nearest = torch.tensor([[0.1, 0.2], [0.1, 0.8], [0.1, 0.8]])
    torch.testing.assert_close(calibrated(nearest, 0), torch.tensor([0.0, -0.6]))
