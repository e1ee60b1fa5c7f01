# SPDX-License-Identifier: Apache-2.0
"""A bound on one site's share of a mean, whatever number of images it declares."""

from __future__ import annotations

from collections.abc import Mapping


def capped(weights: Mapping[str, float], most: float) -> dict[str, float]:
    """Return the weights with every share of their sum at most ``most``, or all alike where that cannot be.

    What a capped site loses is spread over the others in proportion, and whoever comes above the bound by that is
    capped as well. Where no site is above, the weights are returned as they are.

    Args:
        weights: n_k > 0 by site.
        most: in (0, 1].
    """
    sites = sorted(weights)
    if most * len(sites) <= 1:
        return dict.fromkeys(weights, 1.0)
    at_bound: set[str] = set()
    while True:
        free = [site for site in sites if site not in at_bound]
        left, total = 1 - most * len(at_bound), sum(weights[site] for site in free)
        above = {site for site in free if weights[site] * left > most * total}
        if not above:
            break
        at_bound |= above
    if not at_bound:
        return dict(weights)
    return {site: most if site in at_bound else weights[site] * left / total for site in weights}
