# SPDX-License-Identifier: Apache-2.0
"""Ways in which a site's update is bad; each makes the bad one from the one that the site would have sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from dsfedmed.exchange.tensors import Weights
from dsfedmed.seeds import derive_seed

LARGEST_HALF = 60_000.0
"""Just below what half precision holds."""


class FirstAgain:
    """The update of the first round in every round."""

    def __init__(self) -> None:
        self._first: Weights = {}

    def __call__(self, update: Mapping[str, Tensor], _number: int) -> Weights:
        """Return the first update that was seen."""
        self._first = self._first or {name: tensor.clone() for name, tensor in update.items()}
        return {name: tensor.clone() for name, tensor in self._first.items()}


def scaled(factor: float) -> Bad:
    """Return what multiplies an update; -1 turns it round."""
    return lambda update, _number: {name: tensor * factor for name, tensor in update.items()}


def constant(value: float) -> Bad:
    """Return what puts one value everywhere."""
    return lambda update, _number: {name: torch.full_like(tensor, value) for name, tensor in update.items()}


def noise(update: Mapping[str, Tensor], number: int) -> Weights:
    """Return normal noise with every tensor's own length."""
    draws = torch.Generator().manual_seed(derive_seed(0, "poison", number))
    made = {name: torch.randn(tensor.shape, generator=draws) for name, tensor in update.items()}
    return {
        name: (drawn * (update[name].float().norm() / drawn.norm().clamp_min(1e-12))).to(update[name])
        for name, drawn in made.items()
    }


Bad = Callable[[Mapping[str, Tensor], int], Weights]
"""Takes the honest update and the round's number."""
UPDATES: dict[str, Callable[[], Bad]] = {
    "60,000 everywhere": lambda: constant(LARGEST_HALF),
    "1,000 times": lambda: scaled(1000.0),
    "10 times": lambda: scaled(10.0),
    "turned round": lambda: scaled(-1.0),
    "turned round, 5 times": lambda: scaled(-5.0),
    "noise": lambda: noise,
    "zeros": lambda: constant(0.0),
    "the first again": FirstAgain,
}
"""Bad updates by name."""
