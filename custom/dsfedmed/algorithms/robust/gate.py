# SPDX-License-Identifier: Apache-2.0
"""Which updates of a round cannot be what training gives: far too long, empty, or one of an earlier round again.

Norms are held against a centre that one site cannot move: the median of the others' norms, and the weights themselves.
Directions are not held against anything but the site's own past. Measured on hospitals that differ, an honest odd one
pointed away from the mean of the others in nearly every round (cosine down to -0.53), more so than sites trained on
wrong masks; what a direction does to the network is for a trial to say (`dsfedmed.federated.server.robust.trial`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median_high, median_low

import torch
from torch import Tensor

MUCH = 5
"""How much wider the bounds are that are no matter of comparing like with like."""
PIECE = 2**20
"""Numbers of an update that are summed at a time: memory stays small beside an update of a large network."""
SKETCH = 1024
"""Numbers that stand for an update when it is compared with earlier ones."""


def sketch(update: Tensor, seed: int) -> Tensor:
    """Return a random projection of an update, float32 (``SKETCH``); cosines between sketches are near the updates'.

    Source: count sketch, Charikar et al. 2002: random signs, summed into buckets.

    Args:
        update: (n).
        seed: of the signs; the same for all that are compared.
    """
    generator, sums = torch.Generator().manual_seed(seed), torch.zeros(SKETCH, dtype=torch.float64)
    for part in update.split(PIECE):
        signs = torch.randint(0, 2, part.shape, generator=generator, dtype=torch.int8).mul_(2).sub_(1)
        signed = torch.nn.functional.pad(part.double() * signs, (0, -len(part) % SKETCH))
        sums += signed.view(-1, SKETCH).sum(dim=0)
    return sums.float()


def complaint(norm: float, others: Sequence[float], weights_norm: float, factor: float) -> str:
    """Return why an update's norm cannot be, or an empty text.

    Args:
        norm: of the update, Euclidean.
        others: norms of the other sites' updates in this round, those of one site where there are two.
        weights_norm: of the weights that the sites started from.
        factor: the update is refused above ``factor`` times the centre; and above 5 times that many weights, or below
            the centre over 5 times that.
    """
    if weights_norm > 0 and norm > MUCH * factor * weights_norm:
        return f"is {norm / weights_norm:.3g} times as long as the weights themselves"
    if len(others) < 2:  # of two sites that differ nobody can say which is wrong
        return ""
    # Of an even number of others the larger middle one for what is too long and the smaller one for what is too short:
    # with three sites, a bad one would else move the centre of either honest one.
    high, low = median_high(others), median_low(others)
    if norm > factor * high:
        return f"is {norm / max(high, 1e-30):.3g} times as long as the median of the others'"
    if norm * MUCH * factor < low:
        if norm == 0:
            return "changes nothing"
        return f"has {norm / low:.2g} of the length of the median of the others'"
    return ""


def growth_beside_others(norms: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """Return how many times as much as the others' each update has grown since the site's last one.

    Over twelve rounds of nuclei and of breast ultrasound honest sites came to 3.5 at most. A site without an earlier
    update, or without another one to compare it with, is missing.

    Args:
        norms: of this round's updates by site.
        before: of each site's last update that counted.
    """
    growth = {site: norm / before[site] for site, norm in norms.items() if before.get(site)}
    others = {site: [found for name, found in growth.items() if name != site] for site in growth}
    return {site: found / max(median_high(others[site]), 1e-30) for site, found in growth.items() if others[site]}


def replayed(now: Tensor, before: Mapping[int, Tensor], difference: float) -> int | None:
    """Return the round whose update of the same site this one repeats, or None.

    Args:
        now: sketch of the update.
        before: sketches of the site's earlier updates by round.
        difference: share of the earlier one's length up to which two are the same. Where a network has stopped to
            learn, honest updates of two rounds have cosines above 0.999, so that this has to be small.
    """
    for number, earlier in before.items():
        if float((now - earlier).norm()) <= difference * float(earlier.norm()):
            return number
    return None
