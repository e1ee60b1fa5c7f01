# SPDX-License-Identifier: Apache-2.0
"""Amplitudes of images whose spectrum a person can write down, and what their exchange makes of them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dsfedmed.algorithms.appearance.amplitude import low_amplitudes, reach, with_amplitudes

SIZE = 8


def wave(mean: float, height: float, frequency: int = 1, shift: float = 0.0) -> Tensor:
    """Columns of mean + height cos(frequency 2 pi (x - shift) / 8), (1, 8, 8)."""
    x = torch.arange(SIZE, dtype=torch.float32)
    return (mean + height * torch.cos(frequency * 2 * math.pi * (x - shift) / SIZE)).expand(1, SIZE, SIZE)


def test_amplitudes_by_hand() -> None:
    """A wave has half of its height at either side of the mean, along its own axis, wherever it begins."""
    expected = torch.tensor([[0, 0, 0], [0.125, 0.5, 0.125], [0, 0, 0]])
    for shift in (0.0, 2.0, 3.0):
        torch.testing.assert_close(
            low_amplitudes(wave(0.5, 0.25, shift=shift)[None], 1)[0, 0], expected, atol=1e-6, rtol=0
        )
    assert low_amplitudes(wave(0.5, 0.25)[None], 0).flatten().tolist() == pytest.approx([0.5])
    assert low_amplitudes(torch.ones(2, 3, SIZE, SIZE), 3).shape == (2, 3, 7, 7)


def test_two_toy_sites_by_hand() -> None:
    """Site a has a wave of height 0.25 about 0.5, site b one of 0.05 about 0.3 that begins elsewhere: half way, a's
    wave keeps its place and has height 0.15 about 0.4.
    """
    donor = low_amplitudes(wave(0.3, 0.05, shift=3)[None], 1)[0]
    got = {share: with_amplitudes(wave(0.5, 0.25, shift=1), donor, share) for share in (0.0, 0.5, 1.0)}
    for share, mean, height in ((0.0, 0.5, 0.25), (0.5, 0.4, 0.15), (1.0, 0.3, 0.05)):
        torch.testing.assert_close(got[share], wave(mean, height, shift=1), atol=1e-6, rtol=0)


def test_beyond_the_band_nothing_changes() -> None:
    """A fine wave of frequency 3 stays under an exchange up to 1; the mean alone changes with a band of 0."""
    image = wave(0.4, 0.1) + wave(0.0, 0.1, frequency=3)
    flat = low_amplitudes(torch.full((1, 1, SIZE, SIZE), 0.6), 1)[0]
    torch.testing.assert_close(with_amplitudes(image, flat, 1.0), wave(0.6, 0.1, frequency=3), atol=1e-6, rtol=0)
    brighter = with_amplitudes(image, flat[:, 1:2, 1:2], 1.0)
    torch.testing.assert_close(brighter, image + 0.2, atol=1e-6, rtol=0)


def test_what_leaves_zero_and_one_is_cut_off() -> None:
    brighter = with_amplitudes(wave(0.5, 0.4), torch.full((1, 1, 1), 0.9), 1.0)
    torch.testing.assert_close(brighter, wave(0.9, 0.4).clamp(0, 1), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("band", "size", "b"), [(0.0, 64, 0), (0.1, 64, 6), (0.49, 64, 31), (0.49, 5, 2), (0.1, 9, 0), (0.49, 1, 0)]
)
def test_the_reach_by_hand(band: float, size: int, b: int) -> None:
    assert reach(band, size) == b
    assert 2 * b + 1 <= size
