# SPDX-License-Identifier: Apache-2.0
"""FedAvg with fine-tuning by hand: two sites of one number each, and the pass that is kept."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dsfedmed.algorithms.aggregation import WeightedMean
from dsfedmed.training.passes import BestPass, best_of_passes

RATE = 0.5
TARGETS = {"site_a": 2.0, "site_b": -2.0}
IMAGES = {"site_a": 1, "site_b": 3}


def network(value: float) -> nn.Linear:
    """One number."""
    made = nn.Linear(1, 1, bias=False)
    nn.init.constant_(made.weight, value)
    return made


def descend(own: nn.Linear, target: float) -> int:
    """A pass of one step on 1/2 (v - target)^2: half the way to the target."""
    with torch.no_grad():
        own.weight -= RATE * (own.weight - target)
    return 1


def tuned(start: float, target: float, ideal: float, as_it_came: bool = True) -> BestPass:
    """Three passes towards ``target``, judged by how near they come to ``ideal``."""
    own = network(start)
    return best_of_passes(
        own, 3, lambda _: descend(own, target), lambda now: 1 / (1 + abs(now.weight.item() - ideal)), as_it_came
    )


def test_two_sites_by_hand() -> None:
    """From 0 both go half the way, to 1 and -1, whose mean is (1 - 3) / 4 = -1/2; from there each goes on alone.

    Site a, towards 2: 0.75, 1.375, 1.6875. Site b, towards -2: -1.25, -1.625, -1.8125.
    """
    mean = WeightedMean()
    for site, target in TARGETS.items():
        own = network(0)
        descend(own, target)
        mean.add(site, own.state_dict(), IMAGES[site])
    shared = mean.result()["weight"].item()
    assert shared == -0.5
    last = {site: tuned(shared, target, ideal=target) for site, target in TARGETS.items()}
    assert {site: (best.number, best.weights["weight"].item()) for site, best in last.items()} == {
        "site_a": (3, 1.6875),
        "site_b": (3, -1.8125),
    }


@pytest.mark.parametrize(
    ("ideal", "number", "value"), [(1.4, 2, 1.375), (0.75, 1, 0.75), (-0.5, 0, -0.5), (-9.0, 0, -0.5)]
)
def test_the_best_pass_by_validation_is_kept_and_what_it_began_with_is_one(
    ideal: float, number: int, value: float
) -> None:
    best = tuned(-0.5, 2.0, ideal)
    assert (best.number, best.weights["weight"].item(), best.steps) == (number, value, 3)
    assert best.validation == pytest.approx(1 / (1 + abs(value - ideal)))


def test_a_site_alone_keeps_a_trained_pass() -> None:
    assert tuned(-0.5, 2.0, -9.0, as_it_came=False).number == 1


def test_the_first_of_equals_is_kept() -> None:
    own = network(1.0)
    assert best_of_passes(own, 3, lambda _: 2, lambda _: 0.5) == BestPass(0.5, 1, {"weight": own.weight.detach()}, 6)
