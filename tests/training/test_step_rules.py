# SPDX-License-Identifier: Apache-2.0
"""The learning rate of every step, and the optimiser's own afterwards."""

from __future__ import annotations

import pytest
import torch

from dsfedmed.training.step_rules import StepRules, paced


def test_rates_by_hand_and_back_again() -> None:
    """0.8 times half, over a ramp of two steps: 0.2, then 0.4."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.8)
    seen = []
    with paced(optimizer, StepRules(0.5, 2)) as rates:
        for step in range(3):
            rates.before(step)
            seen.append(optimizer.param_groups[0]["lr"])
    assert seen == pytest.approx([0.2, 0.4, 0.4])
    assert optimizer.param_groups[0]["lr"] == 0.8


def test_the_own_rate_is_back_after_an_error() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.8)

    def fails() -> None:
        with paced(optimizer, StepRules(0.5)) as rates:
            rates.before(0)
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fails()
    assert optimizer.param_groups[0]["lr"] == 0.8
