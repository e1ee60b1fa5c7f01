# SPDX-License-Identifier: Apache-2.0
"""How near drawn images come to a canary, against pictures that might as well have been planted.

Extraction as in Carlini et al. (USENIX Security 2023, arXiv 2301.13188, section 4): many images are drawn and compared
by distance, here one minus the correlation of pixels, which brightness and contrast do not change. Exposure is that of
Carlini et al. (The secret sharer, USENIX Security 2019, arXiv 1802.08232, section 4): log2 of the candidates minus log2
of the canary's rank among them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dsfedmed.seeds import generator

SIMULATED = 20_000


def distances(drawn: Tensor, pictures: Tensor) -> Tensor:
    """Return 1 - correlation, float32 (d, p) in [0, 2], of drawn (d, C, S, S) and pictures (p, C, S, S)."""
    alike: Tensor = _standardised(drawn) @ _standardised(pictures).T
    return 1 - alike


def _standardised(images: Tensor) -> Tensor:
    flat = images.to(torch.float32).flatten(1)
    flat = flat - flat.mean(dim=1, keepdim=True)
    scaled: Tensor = flat / flat.norm(dim=1, keepdim=True).clamp(min=1e-8)
    return scaled


def rank_of(canary: float, candidates: Tensor) -> float:
    """Return the canary's place from 1 among (n,) candidates and itself by distance, ties by half."""
    nearer, level = int((candidates < canary).sum()), int((candidates == canary).sum())
    return 1 + nearer + level / 2


def exposure(rank: float, candidates: int) -> float:
    """Return log2(candidates + 1) - log2(rank) in bits; 0 for the last place, the first gives the most there is."""
    return math.log2(candidates + 1) - math.log2(rank)


def chance_exposure(canaries: int, candidates: int, quantile: float, seed: int = 0) -> float:
    """Return a quantile of the mean exposure of so many canaries of which nothing was kept: their ranks are uniform."""
    ranks = torch.randint(1, candidates + 2, (SIMULATED, canaries), generator=generator(seed))
    means = (math.log2(candidates + 1) - ranks.double().log2()).mean(dim=1)
    return float(means.quantile(quantile))


def calibrated(nearest: Tensor, own: int) -> Tensor:
    """Return how much nearer each picture is under mask ``own`` than under the other masks, (p,), below 0 if nearer.

    Args:
        nearest: float (m, p), distance of each picture to the nearest image drawn from each of m masks, 2 or more.
        own: the mask's row.
    """
    others = torch.cat([nearest[:own], nearest[own + 1 :]])
    return nearest[own] - others.mean(dim=0)


def mean(values: Sequence[float]) -> float:
    """Return the mean."""
    return sum(values) / len(values)
