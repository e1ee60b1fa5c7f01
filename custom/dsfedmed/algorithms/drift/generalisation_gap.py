# SPDX-License-Identifier: Apache-2.0
"""Weights of the mean that grow where averaging hurt: FedDG-GA, Generalisation Adjustment.

Source: Zhang et al., Federated Domain Generalization with Generalization Adjustment, CVPR 2023, pages 3954 to 3963.
All K sites begin with a_k = 1 / K. After each mean a site's gap is what its own validation lost by it:

    g_k = D_k(what the site trained) - D_k(the mean)                     D_k: Dice on the site's validation part, 0 to 1
    a_k <- clip(a_k + d_r / K * g_k / max_j |g_j|),  then  a <- a / sum_j a_j              d_r = d (1 - r / R), d = 0.2

after r of R rounds. As in the authors' release (MediaBrain-SJTU/FedDG-GA), which takes accuracies by default and a
third for its three sites; the paper itself was not at hand, and a re-implementation of it subtracts the mean gap
first, has no 1 / K, and takes the gap of the loss.

Deviations: a weight falls to `LEAST` and not to 0, so that a mean of any of the sites has one. A site whose update
did not count in the last mean, or that is absent, has no gap and keeps its weight before the division.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LEAST = 1e-3
"""Least weight of a site before the division by the sum."""


@dataclass(frozen=True)
class GapAdjustment:
    """How far the weights of the mean follow the gaps.

    Attributes:
        step: d, in (0, 1]: what the site with the largest gap gains after the first round, in shares of 1 / K.
    """

    step: float = 0.2

    def adjusted(
        self, shares: Mapping[str, float], gaps: Mapping[str, float], done: int, rounds: int
    ) -> dict[str, float]:
        """Return the weights of the next mean; they sum to 1.

        Args:
            shares: of the last one, by site, all above 0.
            gaps: Dice that each site lost by that mean, -1 to 1; of some or all of these sites.
            done: r, rounds done.
            rounds: R, of the whole training.
        """
        largest = max((abs(gap) for gap in gaps.values()), default=0.0)
        step = self.step * max(1 - done / rounds, 0.0) / len(shares)
        moved = {
            site: min(max(share + (step * gaps.get(site, 0.0) / largest if largest else 0.0), LEAST), 1.0)
            for site, share in shares.items()
        }
        return {site: share / sum(moved.values()) for site, share in moved.items()}
