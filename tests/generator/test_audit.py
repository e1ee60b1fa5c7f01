# SPDX-License-Identifier: Apache-2.0
"""The copy check: copies in every disguise are found, other images are not, and what is no copy sets the limit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dsfedmed.errors import DataError
from dsfedmed.generator.audit import THRESHOLD, AuditResult, audit
from dsfedmed_benchmarks.performance.planted import DISGUISES
from tests.generator.pictures import pictures

PROMISED = (
    "none",
    "mirrored",
    "quarter turn",
    "negative",
    "moved 12 % on both sides",
    "enlarged 25 %",
    "reduced to 80 %",
    "left half beside another image",
    "middle rows, rest grey",
    "centre painted grey",
    "quarter turn, negative, enlarged 20 %",
    "turned 10 degrees",
    "brightness and contrast",
    "gamma 1.8",
    "half the pixels",
    "noise 0.15",
)


def stored(images: Tensor) -> Tensor:
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


@pytest.fixture(scope="module")
def planted() -> tuple[AuditResult, int]:
    """The audit of 40 fresh images and, behind them, 12 copies in each disguise."""
    training, held_out, fresh = pictures(40, 1), pictures(24, 2), pictures(40, 3)
    copies = [DISGUISES[way](training[:12], fresh) for way in PROMISED]
    return audit(stored(torch.cat([fresh, *copies])), training, held_out), len(fresh)


@pytest.mark.parametrize("way", PROMISED)
def test_copies_in_disguise_are_vetoed(planted: tuple[AuditResult, int], way: str) -> None:
    result, fresh = planted
    start = fresh + 12 * PROMISED.index(way)
    assert set(range(start, start + 12)) <= set(result.vetoed.tolist())


def test_fresh_images_are_left_alone(planted: tuple[AuditResult, int]) -> None:
    result, fresh = planted
    assert int((result.vetoed < fresh).sum()) <= 1
    assert result.distances.shape == (fresh + 12 * len(PROMISED),)
    assert (result.distances.dtype, result.vetoed.dtype, result.threshold) == (torch.float32, torch.int64, THRESHOLD)
    assert result.vetoed.tolist() == (result.distances < THRESHOLD).nonzero().flatten().tolist()
    assert float(result.distances.min()) > 0
    assert float(result.distances.max()) <= 1


@pytest.mark.parametrize("channels", [3, 4])
def test_copies_of_colour_and_of_sequences(channels: int) -> None:
    training, held_out = pictures(20, 1, channels), pictures(16, 2, channels)
    images = torch.cat([pictures(10, 3, channels), 1 - training[:5].rot90(1, (2, 3))])
    result = audit(images, training, held_out)
    assert set(range(10, 15)) <= set(result.vetoed.tolist())
    assert len(result.vetoed) <= 6


def test_a_patient_s_own_images_do_not_lower_the_guard() -> None:
    """Two views of each patient are nearly the same; told apart by patient they are no measure of chance."""
    first, held_out = pictures(30, 1), pictures(12, 2)
    views = torch.cat([first, (first * 0.9 + 0.05).flip(3)])
    copies = DISGUISES["left half beside another image"](first[:8], pictures(8, 3))
    patients = [number % 30 for number in range(60)]
    assert len(audit(copies, views, held_out, patients=patients).vetoed) == 8
    assert len(audit(copies, views, held_out).vetoed) < 8


def test_a_few_true_copies_among_the_held_out_images_do_not_blind_it() -> None:
    training, held_out = pictures(40, 1), pictures(24, 2)
    held_out[:2] = training[:2]
    copies = DISGUISES["enlarged 25 %"](training[10:20], held_out)
    assert len(audit(copies, training, held_out).vetoed) == 10


def test_images_of_another_size_and_blank_ones() -> None:
    training, held_out = pictures(16, 1), pictures(16, 2)
    large = torch.nn.functional.interpolate(training[:1], size=(160, 160), mode="bicubic").clamp(0, 1)
    assert audit(large, training, held_out).vetoed.tolist() == [0]
    blank = torch.cat([torch.zeros(1, 1, 64, 64), torch.full((1, 1, 64, 64), 0.7), torch.ones(1, 1, 64, 64)])
    assert audit(blank, training, held_out).distances.tolist() == [1.0, 1.0, 1.0]


def test_all_images_of_one_patient_leave_the_held_out_ones_as_measure() -> None:
    training, held_out = pictures(12, 1), pictures(16, 2)
    result = audit(torch.cat([training[:1].flip(2), pictures(3, 3)]), training, held_out, patients=["one"] * 12)
    assert result.vetoed.tolist() == [0]


def test_no_baseline_no_verdict() -> None:
    with pytest.raises(DataError, match=r"site_b: 4 training and 7 held-out.*at least 8"):
        audit(pictures(1, 0), pictures(4, 1), pictures(7, 2), where="site_b")
    with pytest.raises(DataError, match="0 training"):
        audit(pictures(1, 0), pictures(0, 1), pictures(8, 2))
    for quantile in (0.0, 1.0):
        with pytest.raises(DataError, match="quantile"):
            audit(pictures(1, 0), pictures(4, 1), pictures(8, 2), quantile=quantile)
    with pytest.raises(DataError, match="3 patients of 4 images"):
        audit(pictures(1, 0), pictures(4, 1), pictures(8, 2), patients=["a", "b", "c"])


def test_nothing_to_check() -> None:
    result = audit(pictures(0, 0), pictures(4, 1), pictures(8, 2))
    assert result.distances.shape == (0,)
    assert result.vetoed.shape == (0,)
