# SPDX-License-Identifier: Apache-2.0
"""Self-assessment by hand: where a network is right, which label a pixel gets, and which images count."""

from __future__ import annotations

import math

import pytest
import torch

from dsfedmed.algorithms.regularity import structure_loss
from dsfedmed.algorithms.unlabelled.self_assessment import (
    assessed_loss,
    chosen_labels,
    confidence_loss,
    self_labelled_loss,
)

LN3 = math.log(3)


def plane(*values: float) -> torch.Tensor:
    """Pixels of one row, (1, 1, 1, N)."""
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1)


def test_the_confidence_learns_where_the_mask_is_right() -> None:
    """Right, wrong, right and ignored, with c = 0.75 everywhere: (-2 ln 0.75 - ln 0.25) / 3."""
    logits, target = plane(2, 2, -2, 2), plane(1, 0, 0, math.nan)
    confidence, expected = plane(LN3, LN3, LN3, LN3), (-2 * math.log(0.75) - math.log(0.25)) / 3
    assert confidence_loss(confidence, logits, target).item() == pytest.approx(expected)


def test_a_mask_is_not_moved_by_its_confidence() -> None:
    logits = plane(2.0, 2.0).requires_grad_()
    confidence_loss(plane(LN3, LN3).requires_grad_(), logits, plane(1, 0)).backward()
    assert logits.grad is None


def test_images_with_masks_have_both_losses() -> None:
    logits, confidence, target = torch.randn(3, 2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    target = (target > 0).float()
    expected = structure_loss(logits, target) + 4 * confidence_loss(confidence, logits, target)
    torch.testing.assert_close(assessed_loss(logits, confidence, target), expected)


def test_the_surer_view_gives_the_label_and_the_unsure_is_turned_round() -> None:
    """The weak view is surer at the first pixel, the strong one at the others; at the last both are below 0.3."""
    weak, strong = plane(2, 2, -2, 2), plane(-2, -2, 2, 2)
    confidence = [torch.logit(plane(0.9, 0.4, 0.5, 0.1)), torch.logit(plane(0.6, 0.8, 0.9, 0.2))]
    label, sure = chosen_labels([weak, strong], confidence, 0.3)
    assert label.flatten().tolist() == [1, 0, 1, 0]
    torch.testing.assert_close(sure, plane(0.9, 0.8, 0.9, 0.2))


def test_an_image_counts_above_the_gate_and_learns_from_both_views() -> None:
    """The first image's mean c is 0.8, the second's 0.7: only the first has a loss, the sum of its views'."""
    views = list(torch.randn(2, 2, 1, 4, 4, generator=torch.Generator().manual_seed(0)))
    label = (torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    sure = torch.tensor([0.8, 0.7]).view(2, 1, 1, 1).expand(2, 1, 4, 4)
    loss, counts = self_labelled_loss(views, label, sure, 0.75)
    assert counts.tolist() == [True, False]
    torch.testing.assert_close(loss, sum(structure_loss(view[:1], label[:1]) for view in views))


def test_where_no_image_counts_nothing_is_learned() -> None:
    view = torch.ones(1, 1, 4, 4, requires_grad=True)
    loss, counts = self_labelled_loss([view, view], torch.ones(1, 1, 4, 4), torch.full((1, 1, 4, 4), 0.75), 0.75)
    loss.backward()
    assert (loss.item(), counts.tolist()) == (0.0, [False])
    assert view.grad is not None
    assert not bool(view.grad.any())
