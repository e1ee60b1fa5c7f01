# SPDX-License-Identifier: Apache-2.0
"""Accuracy, the best answer, the structure loss and the gated divergence, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

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


def test_structure_loss_by_hand() -> None:
    """A mask that fills the image has no edge but the image's own; weights there follow the padding."""
    target, logits = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    union = 16 * 0.5
    expected = math.log(2) + 1 - 1 / (union + 1)
    assert float(structure_loss(logits, target)) == pytest.approx(expected)
    perfect = torch.where(target > 0, 30.0, -30.0)
    assert float(structure_loss(perfect, target)) == pytest.approx(0, abs=1e-5)


def test_the_divergence_is_gated_image_by_image() -> None:
    """Logits 2 log 3 at T = 2: p = 3/4 against 1/2."""
    teacher, logits = images((2 * math.log(3),), (9.0,)), images((0.0,), (0.0,))
    kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert float(regularity_kl(teacher, logits, torch.tensor([1.0, 0.0]), torch.zeros_like(logits))) == pytest.approx(
        10 * kl / 2, rel=1e-5
    )
    assert float(regularity_kl(teacher, logits, torch.zeros(2), torch.zeros_like(logits))) == 0.0
