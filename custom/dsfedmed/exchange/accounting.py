# SPDX-License-Identifier: Apache-2.0
"""What releases with Gaussian noise cost in (epsilon, delta), exactly.

A release with sensitivity D and noise of standard deviation sigma is mu-GDP with mu = D / sigma; releases compose,
chosen one after the other or not, to mu = sqrt(mu_1^2 + mu_2^2 + ...); and mu-GDP is (epsilon, delta)-DP for exactly
the pairs on the curve ``delta_of`` (Dong, Roth, Su: Gaussian Differential Privacy, JRSS B 2022, theorem 2.7,
corollaries 2.13 and 3.3). No bound is loosened on the way, unlike with Renyi moments.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

LARGEST_EPSILON = 700.0
"""Beyond it exp overflows; such a release protects nothing, and ``epsilon_of`` says infinity."""


def composed(mus: Iterable[float]) -> float:
    """Return mu of several releases together."""
    return math.sqrt(sum(mu * mu for mu in mus))


def delta_of(epsilon: float, mu: float) -> float:
    """Return the smallest delta at ``epsilon``: Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu).

    Args:
        epsilon: from 0 on.
        mu: from 0 on; 0 is no release at all.
    """
    if mu == 0:
        return 0.0
    lost = math.exp(epsilon) * _phi(-mu / 2 - epsilon / mu)
    return max(_phi(mu / 2 - epsilon / mu) - lost, 0.0)


def epsilon_of(mu: float, delta: float) -> float:
    """Return the smallest epsilon at ``delta``, to 1e-9 from above; infinity where it would be above 700.

    Raises:
        ValueError: delta does not lie between 0 and 1.
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta is {delta}, not between 0 and 1")
    if delta_of(0.0, mu) <= delta:
        return 0.0
    low, high = 0.0, LARGEST_EPSILON
    if delta_of(high, mu) > delta:
        return math.inf
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (low, middle) if delta_of(middle, mu) <= delta else (middle, high)
    return high


def mu_for(epsilon: float, delta: float) -> float:
    """Return the largest mu that is (epsilon, delta)-DP, to 1e-9 from below."""
    low, high = 0.0, 1.0
    while delta_of(epsilon, high) <= delta:
        high *= 2
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if delta_of(epsilon, middle) <= delta else (low, middle)
    return low


def _phi(x: float) -> float:
    """Return the standard normal distribution function."""
    return 0.5 * math.erfc(-x / math.sqrt(2))
