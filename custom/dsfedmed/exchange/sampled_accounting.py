# SPDX-License-Identifier: Apache-2.0
"""What DP-SGD costs in (epsilon, delta): releases with Gaussian noise to which people were drawn at random.

The account is that of the package `opacus` (Renyi moments of the sampled Gaussian mechanism: Mironov, Talwar, Zhang,
arXiv 1908.10530), which is optional: it is asked for where a branch is fitted privately and nowhere else. Two data
sets are neighbours where one has a person more. It assumes Poisson sampling, and it is a bound: epsilon as stated is
about a tenth above what a numerical account finds for settings of the size of a hospital (PRV, arXiv 2106.02848).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dsfedmed.errors import ConfigError

ORDERS = [1.25, 1.5, 1.75, 2.5, 3.5, 4.5, 5.5, *range(2, 32), *range(32, 64, 4), 64, 80, 96, 128, 192, 256, 384, 512]
"""Renyi orders that are tried. Few of them are fractions, whose moments take long where many people are drawn."""
LEAST_MULTIPLIER, MOST_MULTIPLIER = 0.3, 1e5
CLOSE = 1e-3
"""Share by which the multiplier that is found may be above the least one that is enough."""


@dataclass(frozen=True)
class SampledRelease:
    """One fit that was sent.

    Attributes:
        noise_multiplier: z > 0, the noise on a sum of gradients in units of the bound of one.
        rate: probability in (0, 1] with which each person was drawn in a step.
        steps: steps, 1 or more.
    """

    noise_multiplier: float
    rate: float
    steps: int


def epsilon_of_all(releases: Sequence[SampledRelease], delta: float) -> float:
    """Return the epsilon at ``delta`` of several releases together, the later ones chosen after the earlier or not.

    Raises:
        ConfigError: the package `opacus` is not installed.
        ValueError: delta is not between 0 and 1.
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta is {delta}, not between 0 and 1")
    accountant = _accountant()
    accountant.history = [(each.noise_multiplier, each.rate, each.steps) for each in releases]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # says where the best order is the first or last; the bound holds there too
        return float(accountant.get_epsilon(delta=delta, alphas=ORDERS))


def multiplier_for(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """Return the least noise multiplier with which such a release costs no more than ``epsilon``, to a thousandth.

    Raises:
        ConfigError: no noise is enough for so small an epsilon, or `opacus` is not installed.
    """

    def cost(multiplier: float) -> float:
        return epsilon_of_all([SampledRelease(multiplier, rate, steps)], delta)

    low, high = LEAST_MULTIPLIER, LEAST_MULTIPLIER
    while cost(high) > epsilon:
        low, high = high, 2 * high
        if high > MOST_MULTIPLIER:
            reason = f"no noise gives an epsilon of {epsilon:g} at a delta of {delta:g}"
            raise ConfigError("branch privacy", reason, "Ask for a larger epsilon, or take fewer steps")
    while high - low > CLOSE * high:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if cost(middle) > epsilon else (low, middle)
    return high


def _accountant() -> Any:
    try:
        from opacus.accountants import RDPAccountant
    except ImportError as error:
        fix = "Install it at the site (`pip install opacus`), or switch branch privacy off"
        raise ConfigError("branch privacy", "needs the package opacus, which is not installed", fix) from error
    return RDPAccountant()
