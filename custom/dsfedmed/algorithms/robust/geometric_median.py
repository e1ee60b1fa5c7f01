# SPDX-License-Identifier: Apache-2.0
"""Geometric median of the updates, by the smoothed Weiszfeld algorithm.

Source: Pillutla, Kakade and Harchaoui, Robust Aggregation for Federated Learning (RFA), IEEE TSP 2022, arXiv
1912.13445, algorithm 2: with weights alpha_k, beta_k = alpha_k / max(nu, ||v - w_k||), v = sum_k beta_k w_k / sum beta.

Deviations: every pass reads the distances from the Gram matrix of the updates, since v always is a mixture of them;
and the passes go on until the mixture stands still, where the paper stops after a few.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SMOOTHING = 1e-6
"""nu, as a share of the median distance from the start: no update counts infinitely."""
PASSES = 1000
STILL = 1e-9


def geometric_median(gram: Tensor, weights: Sequence[float]) -> Tensor:
    """Return how much of every update is in the point with the smallest weighted sum of distances to them.

    Args:
        gram: (K, K) inner products of the updates; float64.
        weights: alpha_k > 0, such as numbers of training images.

    Returns:
        (K), float64, from 0, with sum 1: the median is the sum of the updates times these.
    """
    alpha = torch.tensor(weights, dtype=torch.float64)
    alpha = alpha / alpha.sum()
    mixture, smallest = alpha, 0.0
    for _ in range(PASSES):
        distances = _distances(gram, mixture)
        smallest = smallest or float(distances.median()) * SMOOTHING
        if smallest == 0:  # most updates are the same point
            return mixture if not bool((distances > 0).any()) else _at_zero(alpha, distances)
        beta = alpha / distances.clamp_min(smallest)
        new = beta / beta.sum()
        if float((new - mixture).abs().max()) < STILL:
            return new
        mixture = new
    return mixture


def _at_zero(alpha: Tensor, distances: Tensor) -> Tensor:
    """Return the weights of the updates at distance zero alone."""
    kept = torch.where(distances == 0, alpha, 0.0)
    return kept / kept.sum()


def _distances(gram: Tensor, mixture: Tensor) -> Tensor:
    """Return ||w_k - v|| of every update for v = sum_j mixture_j w_j, (K)."""
    inner = gram @ mixture
    squares = gram.diagonal() - 2 * inner + mixture @ inner
    return squares.clamp_min(0).sqrt()
