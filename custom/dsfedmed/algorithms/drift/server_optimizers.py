# SPDX-License-Identifier: Apache-2.0
"""Optimisers of the server: the sites' mean difference taken as a gradient step with memory.

Sources: FedAvgM (Hsu, Qi and Brown, arXiv 1909.06335, section 4.3); FedAdagrad, FedYogi and FedAdam (Reddi et al., ICLR
2021, arXiv 2003.00295, algorithm 2). With d the mean difference of a round (new minus old weights), number by number:

    momentum   v <- beta_1 v + d                          w <- w + eta v
    the others m <- beta_1 m + (1 - beta_1) d             w <- w + eta m / (sqrt(v) + tau)
        adagrad    v <- v + d^2
        yogi       v <- v - (1 - beta_2) d^2 sign(v - d^2)
        adam       v <- beta_2 v + (1 - beta_2) d^2

v starts at tau^2 (the paper asks for at least that; NVFlare's and torch's Adam start at 0 and correct the bias, which
the paper's algorithm does not), m and the velocity of "momentum" at 0.

Deviations: the paper's d is the plain mean over the sites, here it is weighted with n_k / n as in the FedAvg that it is
compared with. Statistics of normalisation layers are no parameters: they take the mean as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

ServerRule = Literal["momentum", "adagrad", "yogi", "adam"]
RULES: tuple[ServerRule, ...] = get_args(ServerRule)
FIRST, SECOND = "first/", "second/"
"""Before a parameter's name: its velocity or m, and its v."""


@dataclass(frozen=True)
class ServerOptimizer:
    """One of the rules with its numbers.

    Attributes:
        rule: which one.
        learning_rate: eta, above 0.
        momentum: beta_1, in [0, 1).
        second: beta_2, in [0, 1); of "yogi" and "adam".
        tau: above 0; how far from adaptive: the larger, the more like plain momentum.
    """

    rule: ServerRule
    learning_rate: float = 1.0
    momentum: float = 0.9
    second: float = 0.99
    tau: float = 1e-3

    def step(
        self, weights: Mapping[str, Tensor], mean: Mapping[str, Tensor], memory: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the weights after the round and what is remembered of it.

        Args:
            weights: the parameters that the sites started from.
            mean: the mean of what they came to, of the same names and shapes.
            memory: what the step before returned; empty in the first round.
        """
        after: dict[str, Tensor] = {}
        kept: dict[str, Tensor] = {}
        for name, old in weights.items():
            d = mean[name] - old
            first = memory.get(FIRST + name, torch.zeros_like(old))
            if self.rule == "momentum":
                first = self.momentum * first + d
                after[name] = old + self.learning_rate * first
            else:
                first = self.momentum * first + (1 - self.momentum) * d
                second = self._second(memory.get(SECOND + name, torch.full_like(old, self.tau**2)), d.square())
                after[name] = old + self.learning_rate * first / (second.sqrt() + self.tau)
                kept[SECOND + name] = second
            kept[FIRST + name] = first
        return after, kept

    def _second(self, v: Tensor, square: Tensor) -> Tensor:
        if self.rule == "adagrad":
            return v + square
        if self.rule == "yogi":
            return v - (1 - self.second) * square * torch.sign(v - square)
        return self.second * v + (1 - self.second) * square
