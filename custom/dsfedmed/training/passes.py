# SPDX-License-Identifier: Apache-2.0
"""Training of which the best pass by validation is kept: a site alone, or a site that fine-tunes what it was given.

FedAvg with fine-tuning (Wang et al., 2019, arXiv 1910.10252; Collins et al., NeurIPS 2022, arXiv 2205.13692), with the
global weights w that the rounds gave, and at site k passes of gradient steps on its own loss f_k:

    v_k <- w,  then  v_k <- v_k - eta grad f_k(v_k)

Deviation: the papers score the last pass; here the site's own validation chooses among all, and w itself is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from dsfedmed.exchange.tensors import Weights
from dsfedmed.networks.trained_tensors import copied_tensors


@dataclass(frozen=True)
class BestPass:
    """The pass that validated best; the first of equals.

    Attributes:
        validation: its mean Dice, 0 to 1.
        number: from 1; 0 is the network as it came.
        weights: after it.
        steps: gradient steps of all passes.
    """

    validation: float
    number: int
    weights: Weights
    steps: int


def best_of_passes(
    network: nn.Module,
    passes: int,
    train: Callable[[int], int],
    validate: Callable[[nn.Module], float],
    as_it_came: bool = False,
) -> BestPass:
    """Train ``network`` in place and return its best pass.

    Args:
        network: what is trained.
        passes: how often, 0 or more.
        train: does the pass of that number and returns its gradient steps.
        validate: returns the Dice after a pass, 0 to 1.
        as_it_came: the network before the first pass may be the best, too.
    """
    best = BestPass(validate(network) if as_it_came else -1.0, 0, copied_tensors(network), 0)
    steps = 0
    for number in range(1, passes + 1):
        steps += train(number)
        dice = validate(network)
        if dice > best.validation:
            best = BestPass(dice, number, copied_tensors(network), 0)
    return BestPass(best.validation, best.number, best.weights, steps)
