# SPDX-License-Identifier: Apache-2.0
"""What bounds the gradient steps of one training call, beside the optimiser's own settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from dsfedmed.algorithms.schedules import ramp
from dsfedmed.ranges import Fraction, Nonnegative, Steps


@dataclass(frozen=True)
class StepRules:
    """Learning rate and gradient of a call; the defaults change nothing.

    Attributes:
        rate_factor: of the optimiser's own learning rate, in this call.
        ramp_steps: first steps over which the rate rises to that; 0 for none.
        clip_norm: greatest norm of all gradients together, longer ones are scaled down to it; 0 for none.
    """

    rate_factor: Fraction = 1.0
    ramp_steps: Steps = 0
    clip_norm: Nonnegative = 0.0


AS_THEY_ARE = StepRules()
"""The optimiser's own learning rate, and gradients of any length."""


class PacedRates:
    """Sets the learning rate of every step, and puts the optimiser's own back in the end."""

    def __init__(self, optimizer: torch.optim.Optimizer, rules: StepRules) -> None:
        self.groups, self.rules = optimizer.param_groups, rules
        self.own = [float(group["lr"]) for group in self.groups]

    def before(self, step: int) -> None:
        """Set the rate of ``step``, from 0."""
        factor = self.rules.rate_factor * ramp(step, self.rules.ramp_steps)
        for group, rate in zip(self.groups, self.own, strict=True):
            group["lr"] = rate * factor

    def restore(self) -> None:
        """Put back what the optimiser came with."""
        for group, rate in zip(self.groups, self.own, strict=True):
            group["lr"] = rate


@contextmanager
def paced(optimizer: torch.optim.Optimizer, rules: StepRules) -> Iterator[PacedRates]:
    """Within the block the optimiser's rates follow ``rules``; afterwards they are its own again."""
    rates = PacedRates(optimizer, rules)
    try:
        yield rates
    finally:
        rates.restore()
