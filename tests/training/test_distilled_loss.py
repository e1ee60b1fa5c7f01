# SPDX-License-Identifier: Apache-2.0
"""Training under a guide: the loss by hand, and that the guide is a constant."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from dsfedmed.training.distilled_loss import DistilledLoss, guided_loss


class Constant(nn.Module):
    """Logits of one learned number, whatever the image."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, images: Tensor) -> Tensor:
        return self.value * torch.ones_like(images)


def test_the_loss_by_hand_and_its_gradient() -> None:
    """Guide: log 3, p = 3/4. Network: 0, p = 1/2. At T = 1 the divergence pulls with 1/2 - 3/4 = -1/4 a unit weight."""
    network, guide = Constant(0.0), Constant(math.log(3))
    pupil = DistilledLoss(network, guide)
    loss = guided_loss(pupil, lambda logits, target: (logits - target).square().mean(), 2.0, 1.0)
    images = torch.zeros(1, 1, 2, 2)
    value = loss(pupil(images), torch.ones(1, 1, 2, 2))
    kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert float(value.detach()) == pytest.approx(1 + 2 * kl, rel=1e-5)
    value.backward()
    assert float(network.value.grad) == pytest.approx(-2 + 2 * -0.25, rel=1e-5)
    assert guide.value.grad is None


def test_the_guide_is_no_part_of_the_pupil_and_stays_in_evaluation_mode() -> None:
    guide = Constant(1.0)
    pupil = DistilledLoss(Constant(0.0), guide).train()
    assert [name for name, _ in pupil.named_parameters()] == ["network.value"]
    assert not guide.training
    assert pupil.network.training


def test_a_penalty_is_added() -> None:
    pupil = DistilledLoss(Constant(0.0), Constant(0.0))
    loss = guided_loss(pupil, lambda logits, _: logits.mean(), 1.0, 2.0, lambda: torch.tensor(0.5))
    assert float(loss(pupil(torch.zeros(1, 1, 1, 1)), torch.zeros(1, 1, 1, 1)).detach()) == pytest.approx(0.5)


def test_pixels_without_a_label_are_left_out_of_the_divergence() -> None:
    pupil = DistilledLoss(Constant(0.0), Constant(math.log(3)))
    loss = guided_loss(pupil, lambda logits, _: 0 * logits.mean(), 1.0, 1.0)
    logits = pupil(torch.zeros(1, 1, 1, 2))
    logits.retain_grad()
    value = loss(logits, torch.tensor([[[[1.0, torch.nan]]]]))
    assert float(value.detach()) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-5)
    value.backward()
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == [pytest.approx(-0.25), 0.0]


def test_at_another_temperature_the_divergence_has_its_square() -> None:
    """Logits 2 log 3 and 0 at T = 2: 3/4 against 1/2, times 4."""
    pupil = DistilledLoss(Constant(0.0), Constant(2 * math.log(3)))
    loss = guided_loss(pupil, lambda logits, _: 0 * logits.mean(), 0.5, 2.0)
    value = loss(pupil(torch.zeros(1, 1, 1, 1)), torch.zeros(1, 1, 1, 1))
    kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert float(value.detach()) == pytest.approx(0.5 * 4 * kl, rel=1e-5)
