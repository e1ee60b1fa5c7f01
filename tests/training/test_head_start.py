# SPDX-License-Identifier: Apache-2.0
"""The head start: its loss and falling rate by hand, replay, and what it refuses."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dsfedmed.errors import ConfigError, DSFedMedError
from dsfedmed.training.head_start import HeadStart, train_on_synthetic
from dsfedmed.training.step_rules import StepRules
from dsfedmed.training.synthetic_source import SyntheticSource
from dsfedmed.training.task import TrainingTask
from tests.training.tiny_networks import TinyLight, squares

bce = functional.binary_cross_entropy_with_logits


class OneNumber(nn.Module):
    """Logits are one number b, whatever the image."""

    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        return self.b.expand(images.shape)


def started(network: nn.Module, source: SyntheticSource, steps: int, seed: int = 0, rate: float = 1e-2) -> list[float]:
    losses: list[float] = []
    optimizer = torch.optim.SGD(network.parameters(), lr=123.0)
    train_on_synthetic(
        network,
        optimizer,
        source,
        TrainingTask(1, True, bce, None, 4, where="head start"),
        HeadStart(steps, rate),
        seed,
        lambda done, total, loss: losses.append(loss),
    )
    return losses


def test_two_steps_by_hand() -> None:
    """Masks all one, soft labels all 0.8, weights 0.5 and 2, rate 1 then 1/2 (half a cosine over two steps).

    d/db of 0.5 BCE(b, 1) + 2 KL(0.8 || sigmoid(b)) = 0.5 (s - 1) + 2 (s - 0.8). At b = 0, s = 0.5: -0.85, so b = 0.85;
    there s = 0.7006, gradient -0.3486, and b = 0.85 + 0.3486 / 2.
    """
    images, ones = torch.rand(4, 1, 8, 8), torch.ones(4, 1, 8, 8, dtype=torch.uint8)
    source = SyntheticSource(images, ones, torch.full((4, 1, 8, 8), 0.8), supervised_weight=0.5, kl_weight=2.0)
    network = OneNumber()
    losses = started(network, source, steps=2, rate=1.0)
    first = 0.5 * torch.log(torch.tensor(2.0)) + 2 * (
        0.8 * torch.log(torch.tensor(1.6)) + 0.2 * torch.log(torch.tensor(0.4))
    )
    assert losses[0] == pytest.approx(float(first), abs=1e-4)
    assert network.b.item() == pytest.approx(0.85 + 0.3486 / 2, abs=1e-3)


def test_it_learns_and_replays_from_its_seed() -> None:
    source = SyntheticSource(*squares(12, seed=2), None, supervised_weight=1.0)
    torch.manual_seed(0)
    first = TinyLight()
    again, other = copy.deepcopy(first), copy.deepcopy(first)
    losses = started(first, source, 40, rate=0.5)
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    assert started(again, source, 40, rate=0.5) == losses
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert started(other, source, 40, seed=1, rate=0.5) != losses


def test_no_steps_are_refused() -> None:
    with pytest.raises(ConfigError, match="head_start_steps"):
        started(OneNumber(), SyntheticSource(*squares(3)), 0)


def test_a_loss_that_is_not_finite_names_the_step() -> None:
    source = SyntheticSource(*squares(4), None)
    network = OneNumber()
    network.b.data.fill_(float("nan"))
    with pytest.raises(DSFedMedError, match="head start: the loss is nan at step 1"):
        started(network, source, 3)


def test_a_refit_keeps_its_rate_ramps_it_and_bounds_the_gradient() -> None:
    """The gradient of BCE(b, 1) at b near 0 is about -1/2, clipped to 0.1: rates 0.5 and 1 move b by 0.05 and 0.1."""
    images, ones = torch.rand(4, 1, 8, 8), torch.ones(4, 1, 8, 8, dtype=torch.uint8)
    network = OneNumber()
    pace = HeadStart(2, 2.0, falls=False, rules=StepRules(rate_factor=0.5, ramp_steps=2, clip_norm=0.1))
    train_on_synthetic(
        network,
        torch.optim.SGD(network.parameters(), lr=123.0),
        SyntheticSource(images, ones, None, supervised_weight=1.0, kl_weight=0.0),
        TrainingTask(1, True, bce, None, 4),
        pace,
        0,
    )
    assert float(network.b) == pytest.approx(0.15, rel=1e-4)
