# SPDX-License-Identifier: Apache-2.0
"""FixMatch's loss by hand: sure pixels have a label, the mean is over all of them."""

from __future__ import annotations

import math

import pytest
import torch

from dsfedmed.algorithms.unlabelled.confident_labels import confident_loss, is_sure

ANSWERS = torch.tensor([[[[0.97, 0.60], [0.05, 0.94]]]])
"""At 0.95 the first is sure of foreground and the third of background."""


def test_an_answer_is_sure_from_the_threshold_on() -> None:
    assert is_sure(ANSWERS, 0.95).flatten().tolist() == [1, 0, 1, 0]
    assert is_sure(torch.tensor([0.75, 0.25, 0.5]), 0.75).tolist() == [1, 1, 0], "the threshold itself counts"


def test_the_loss_by_hand() -> None:
    """Logits ln 3, so q = 0.75: -ln 0.75 on foreground, -ln 0.25 on background, 0 on two of four pixels."""
    logits = torch.full_like(ANSWERS, math.log(3)).requires_grad_()
    loss = confident_loss(logits, ANSWERS, 0.95)
    assert loss.item() == pytest.approx((-math.log(0.75) - math.log(0.25)) / 4)
    loss.backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad.flatten(), torch.tensor([-0.25, 0.0, 0.75, 0.0]) / 4)


def test_without_a_sure_pixel_nothing_is_learned() -> None:
    logits = torch.randn(1, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    assert confident_loss(logits, ANSWERS, 0.99).item() == 0


def test_every_channel_has_labels_of_its_own() -> None:
    """The first channel's answers are sure, the second's are not: half of the pixels count."""
    answers = torch.tensor([0.99, 0.7]).view(1, 2, 1, 1).expand(1, 2, 3, 3)
    assert confident_loss(torch.zeros(1, 2, 3, 3), answers, 0.95).item() == pytest.approx(math.log(2) / 2)
