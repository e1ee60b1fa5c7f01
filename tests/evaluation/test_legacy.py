# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from dsfedmed.evaluation.legacy import DICE_EPS, IOU_EPS, legacy_eval


def test_by_hand() -> None:
    logits = torch.tensor([[[[0.2, 0.6], [2.0, -1.0]]]])
    target = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    # (intersection, predicted) at 0.1, 0.3, 0.5, 0.7, 0.9; the mask has two pixels at every threshold
    counts = [(2, 3), (1, 2), (1, 2), (0, 1), (0, 1)]
    dice = sum((2 * i + DICE_EPS) / (p + 2 + DICE_EPS) for i, p in counts) / 5
    iou = sum((i + IOU_EPS) / (p + 2 - i + IOU_EPS) for i, p in counts) / 5
    found = legacy_eval(logits, target)
    assert found.dice == pytest.approx(dice)
    assert found.iou == pytest.approx(iou)


def test_it_reads_logits_not_probabilities() -> None:
    target = torch.ones(1, 1, 4, 4)
    assert legacy_eval(torch.full((1, 1, 4, 4), 0.05), target).dice == pytest.approx(0, abs=1e-4)  # probability 0.51
    assert legacy_eval(torch.full((1, 1, 4, 4), 0.95), target).dice == pytest.approx(1)


def test_empty_beside_empty_is_perfect() -> None:
    assert legacy_eval(torch.full((2, 2, 4, 4), -3.0), torch.zeros(2, 2, 4, 4)).dice == pytest.approx(1)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="expected two"):
        legacy_eval(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4))


def test_ignored_pixels_count_as_neither() -> None:
    logits = torch.tensor([[[[1.0, 1.0, 1.0, -1.0]]]])
    found = legacy_eval(logits, torch.tensor([[[[1.0, 0.0, torch.nan, torch.nan]]]]))
    assert found == legacy_eval(logits[..., :2], torch.tensor([[[[1.0, 0.0]]]]))
