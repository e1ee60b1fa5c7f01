# SPDX-License-Identifier: Apache-2.0
"""The gradient step of DP-SGD (Abadi et al., Deep learning with differential privacy, CCS 2016, algorithm 1).

Everyone whose data are protected is drawn on their own with probability q (Poisson sampling), gives one gradient, which
is cut to norm C, and normal noise of deviation z C is laid over the sum. It is divided by the number of people who are
expected to be drawn, not by those who were, which would tell.

Deviation: a gradient that is not finite counts as zero. An error would tell the server whether somebody is there whose
image has such a gradient; so would a sum that is not finite.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dsfedmed.algorithms.private.secret_draws import SecretDraws

SLACK = 1e-6
"""Gradients are cut this share below the bound, so that rounding in the sum does not carry them over it."""


def poisson_sample(people: int, rate: float, draws: SecretDraws, step: int) -> Tensor:
    """Return int64 indices, ascending, of those who are drawn: each with probability ``rate`` in [0, 1], on their own.

    How many they are is itself random, and may be none.
    """
    return (draws.uniform(people, "sample", step) < rate).nonzero().flatten()


def clipped_sum(gradients: Mapping[str, Tensor], bound: float) -> tuple[dict[str, Tensor], int]:
    """Return sum over i of g_i min(1, C / |g_i|), and how many g_i were not finite and count as zero.

    Args:
        gradients: by name, float32 (B, ...): of one person each, whose norm is over all names together.
        bound: C > 0.
    """
    squares = torch.stack([g.flatten(1).double().square().sum(dim=1) for g in gradients.values()])
    norms = squares.sum(dim=0).sqrt()
    good = norms.isfinite()
    factors = torch.where(good, (bound / norms).clamp(max=1.0) * (1 - SLACK), 0.0).to(torch.float32)
    sums = {name: torch.tensordot(factors, _without(good, gradient), 1) for name, gradient in gradients.items()}
    return sums, int((~good).sum())


def noisy_mean(
    sums: Mapping[str, Tensor], deviation: float, expected: float, draws: SecretDraws, step: int
) -> dict[str, Tensor]:
    """Return (sum + N(0, deviation^2)) / expected for every number, float32.

    Args:
        sums: of cut gradients, by name.
        deviation: z C, of the noise.
        expected: number of people drawn in the mean, q n; the same whoever is there.
        draws: what only this site has.
        step: of the training, from 0; each has noise of its own.
    """
    found = {}
    for name, value in sums.items():
        noise = draws.normal(value.numel(), "noise", step, name).reshape(value.shape).to(value.device)
        found[name] = ((value.double() + deviation * noise) / expected).to(torch.float32)
    return found


def _without(good: Tensor, gradient: Tensor) -> Tensor:
    """Return gradients with zeros for those that are not good, for zero times infinity is no number."""
    if bool(good.all()):
        return gradient
    return torch.where(good.view(-1, *[1] * (gradient.ndim - 1)), gradient, torch.zeros_like(gradient))
