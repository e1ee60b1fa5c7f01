# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsfedmed.evaluation.metrics import CaseMetrics, case_metrics


def mask(rows: list[str]) -> torch.Tensor:
    """Return (1, X, Y) from rows of # and . (first index is X)."""
    return torch.tensor([[[character == "#" for character in row] for row in rows]])


def test_by_hand() -> None:
    prediction = mask(["....", ".##.", ".##.", "...."])
    target = mask(["....", "..##", "..##", "...."])
    found = case_metrics(prediction, target)
    assert found.dice == pytest.approx((0.5,))  # 2 * 2 / (4 + 4)
    assert found.iou == pytest.approx((1 / 3,))  # 2 / 6
    assert found.hd95 == pytest.approx((1.0,))  # one mask is the other, moved by one pixel


def test_hd95_of_two_points_is_their_distance() -> None:
    prediction, target = torch.zeros(1, 20, 20), torch.zeros(1, 20, 20)
    prediction[0, 2, 3] = 1
    target[0, 5, 7] = 1
    assert case_metrics(prediction.bool(), target.bool()).hd95 == pytest.approx((5.0,))


def test_empty_masks() -> None:
    empty, filled = torch.zeros(1, 30, 40, dtype=torch.bool), torch.zeros(1, 30, 40, dtype=torch.bool)
    filled[0, 3:9, 3:9] = True
    assert case_metrics(empty, empty) == CaseMetrics((1.0,), (1.0,), (0.0,))
    for pair in ((empty, filled), (filled, empty)):
        assert case_metrics(*pair) == CaseMetrics((0.0,), (0.0,), (math.hypot(30, 40),))


def test_classes_are_scored_apart_and_an_empty_one_does_not_disturb() -> None:
    prediction, target = torch.zeros(3, 16, 16, dtype=torch.bool), torch.zeros(3, 16, 16, dtype=torch.bool)
    prediction[0, 2:8, 2:8] = target[0, 2:8, 2:8] = True
    target[2, 4:6, 4:6] = True
    found = case_metrics(prediction, target, case=7)
    assert found.dice == (1.0, 1.0, 0.0)
    assert found.hd95 == pytest.approx((0.0, 0.0, math.hypot(16, 16)))
    assert found.case == 7
    assert found.mean_dice == pytest.approx(2 / 3)


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="expected two"):
        case_metrics(torch.zeros(1, 4, 4), torch.zeros(1, 4, 5))


@settings(max_examples=40)
@given(st.integers(0, 2**20), st.integers(1, 3))
def test_properties(seed: int, classes: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    prediction, target = (torch.rand(2, classes, 12, 9, generator=generator) > 0.8).unbind()
    there, back = case_metrics(prediction, target), case_metrics(target, prediction)
    assert there.dice == pytest.approx(back.dice)
    assert there.hd95 == pytest.approx(back.hd95)
    for dice, iou, distance in zip(there.dice, there.iou, there.hd95, strict=True):
        assert 0 <= iou <= dice <= 1
        assert iou == pytest.approx(dice / (2 - dice), abs=1e-6)
        assert 0 <= distance <= math.hypot(12, 9)
    assert CaseMetrics.from_dict(there.to_dict()) == there


@pytest.mark.parametrize(
    "found",
    [
        {"dice": [1.0], "iou": [1.0], "hd95": []},
        {"dice": [], "iou": [], "hd95": []},
        {"dice": [float("nan")], "iou": [1.0], "hd95": [0.0]},
    ],
)
def test_unusable_forms_are_refused(found: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match="dice, iou and hd95"):
        CaseMetrics.from_dict(found)


def test_ignored_pixels_count_as_neither_by_hand() -> None:
    """A row of 6: drawn 0-2, found 1-4, ignored 4-5. Left: overlap 2, drawn 3, found 3.

    From the borders 0-2 to 1-3 it is 1, 0 and 0, and as far back: the 95th percentile is 0.9.
    """
    target, prediction = torch.zeros(1, 6, 1), torch.zeros(1, 6, 1)
    target[:, :3], prediction[:, 1:5] = 1, 1
    valid = torch.tensor([True, True, True, True, False, False]).view(1, 6, 1)
    found = case_metrics(prediction, target, 2, valid)
    assert (*found.dice, *found.iou, *found.hd95) == pytest.approx((2 / 3, 0.5, 0.9))
    prediction[:, 4:] = 0
    assert case_metrics(prediction, target, 2, valid) == found
    assert case_metrics(prediction, target, None, torch.ones(1, 6, 1).bool()) == case_metrics(prediction, target)
    with pytest.raises(ValueError, match="nowhere true"):
        case_metrics(prediction, target, None, torch.zeros(1, 6, 1).bool())
