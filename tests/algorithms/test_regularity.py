# SPDX-License-Identifier: Apache-2.0
"""Accuracy, the best answer, the structure loss and the gated divergence, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dsfedmed.algorithms.regularity import (
    best_of,
    boundary_weight,
    image_accuracy,
    regularity_kl,
    structure_loss,
)


def images(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32).view(len(rows), 1, 1, -1)


def test_accuracy_is_the_share_of_right_pixels() -> None:
    assert image_accuracy(images((0.9, 0.2, 0.6, 0.1)), images((1, 0, 0, 0))).tolist() == [0.75]


def test_each_image_gets_the_most_accurate_answer() -> None:
    target = images((1, 1), (0, 0))
    first, second = images((0.9, 0.9), (0.9, 0.1)), images((0.9, 0.1), (0.2, 0.3))
    best, accuracy = best_of([first, second], target)
    torch.testing.assert_close(best, images((0.9, 0.9), (0.2, 0.3)))
    assert accuracy.tolist() == [1.0, 1.0]
    _, halves = best_of([second[:1], second[:1]], target[:1])
    assert halves.tolist() == [0.5]


def test_the_boundary_weighs_more_than_the_inside() -> None:
    target = torch.zeros(1, 1, 32, 32)
    target[..., 8:24, 8:24] = 1
    weight = boundary_weight(target)
    assert float(weight[0, 0, 16, 16]) == 1.0
    assert float(weight[0, 0, 0, 0]) == 1.0
    assert float(weight[0, 0, 8, 16]) == pytest.approx(1 + 5 * (1 - 6 / 9)), (
        "a window of 3: one of its rows lies outside"
    )
    assert weight.max() <= 6


def test_the_window_is_31_pixels_of_384_and_shrinks_with_the_image() -> None:
    """A mask of the left half: the last of its columns has 16 of 31 in the window, and 16 columns off is far."""
    for side, window in ((384, 31), (100, 9)):
        target = torch.zeros(1, 1, side, side)
        target[..., : side // 2] = 1
        row = boundary_weight(target)[0, 0, side // 2]
        inside = (window + 1) / 2
        assert float(row[side // 2 - 1]) == pytest.approx(1 + 5 * (1 - inside / window), rel=1e-5)
        assert float(row[side // 2 - 1 - window // 2]) == pytest.approx(1, abs=1e-5)
        assert float(row[side // 2 - window // 2]) > 1.1


def test_structure_loss_of_an_empty_mask_by_hand() -> None:
    """The background fills the image, whose edge is its own: a window of 3 sees 4 of 9 at a corner, 6 of 9 at a side.

    Its weights are 34/9, 8/3 and 1, in all 364/9; at p = 1/2 the overlap is half of that, U - I is 8 more than it.
    """
    target, logits = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    expected = math.log(2) + 1 - (182 / 9 + 1) / (364 / 9 + 8 + 1)
    assert float(structure_loss(logits, target)) == pytest.approx(expected)
    assert float(structure_loss(torch.full_like(target, -30.0), target)) == pytest.approx(0, abs=1e-5)


def test_structure_loss_of_a_mask_by_hand() -> None:
    """A row 1 1 0 0, of whose window of 3 x 3 two rows lie outside: w is 44/9, 44/9, 14/9, 1, and mirrored behind it.

    At p = 1/2: I = 2 * 44/9, and the sum of weights times (p + y) is 143.5/9 for either class.
    """
    target = images((1, 1, 0, 0))
    expected = math.log(2) + 1 - (88 / 9 + 1) / (287 / 9 - 88 / 9 + 1)
    assert float(structure_loss(torch.zeros_like(target), target)) == pytest.approx(expected)
    mirrored = structure_loss(torch.zeros_like(target), target.flip(-1))
    assert float(mirrored) == pytest.approx(expected), "the two classes count alike"


def test_structure_loss_has_the_releases_two_classes_in_one_ratio() -> None:
    """What HSSF computes with one-hot masks of two classes and the sigmoids p and 1 - p."""
    random = torch.Generator().manual_seed(0)
    logits, target = torch.randn(3, 1, 32, 32, generator=random), torch.zeros(3, 1, 32, 32)
    target[:2, :, 5:15, 8:20] = 1
    masks, scores = torch.cat([1 - target, target], 1), torch.sigmoid(torch.cat([-logits, logits], 1))
    weight = 1 + 5 * (functional.avg_pool2d(masks, 3, stride=1, padding=1) - masks).abs()
    overlap, total = (weight * scores * masks).sum((1, 2, 3)), (weight * (scores + masks)).sum((1, 2, 3))
    entropy = functional.cross_entropy(torch.cat([torch.zeros_like(logits), logits], 1), masks)
    expected = entropy + (1 - (overlap + 1) / (total - overlap + 1)).mean()
    torch.testing.assert_close(structure_loss(logits, target), expected)


def test_the_divergence_is_gated_image_by_image() -> None:
    """Logits 2 log 3 at T = 2: p = 3/4 against 1/2. The mean is over two classes, of which each has half the sum."""
    teacher, logits = images((2 * math.log(3),), (9.0,)), images((0.0,), (0.0,))
    kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert float(regularity_kl(teacher, logits, torch.tensor([1.0, 0.0]), torch.zeros_like(logits))) == pytest.approx(
        10 * (kl / 2) / 2, rel=1e-5
    )
    assert float(regularity_kl(teacher, logits, torch.zeros(2), torch.zeros_like(logits))) == 0.0


def test_the_divergence_is_the_releases_mean_over_two_classes() -> None:
    random = torch.Generator().manual_seed(1)
    teacher, logits = 3 * torch.randn(4, 1, 5, 5, generator=random), torch.randn(4, 1, 5, 5, generator=random)
    gate = torch.tensor([1.0, 0.0, 1.0, 1.0])
    theirs, ours = (torch.cat([torch.zeros_like(z), z], 1) / 2 for z in (teacher, logits))
    divergence = functional.kl_div(ours.log_softmax(1), theirs.softmax(1), reduction="none").mean((1, 2, 3))
    found = regularity_kl(teacher, logits, gate, torch.zeros_like(logits))
    torch.testing.assert_close(found, 10 * (divergence * gate).mean())
