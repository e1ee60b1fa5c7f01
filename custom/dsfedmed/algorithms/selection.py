# SPDX-License-Identifier: Apache-2.0
"""Choose the learnable samples of the pool by their scores.

Source: DSFedMed, arXiv 2601.16073, which gives two views of one idea, recomputed in every round:

- ``select_top``: rank by s_i and keep the top fixed fraction (the selection rate);
- ``select_softmax``: draw without replacement with a(x) proportional to exp(s(x) / temperature), by the Gumbel-top-k
  trick: the k largest of s_i / temperature + g_i with g_i standard Gumbel noise.

Scores are (N,), results are int64 indices (k,), k = floor(rate * N) but at least 1 and at most N. Ties go to the lower
index, so that a selection can be replayed. Deviation: the paper's sampling view has temperature 1.
The released code's third rule is in ``batch_quantile.py``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dsfedmed.algorithms.learnability import check_terms
from dsfedmed.options import require


def selection_count(total: int, rate: float) -> int:
    """Return how many of ``total`` samples a selection rate in (0, 1] keeps: floor(rate * total), at least one."""
    require(0.0 < rate <= 1.0, "rate", f"{rate} lies outside (0, 1]", "Give the kept fraction, such as 0.5")
    # The small addend undoes binary rounding: 0.29 * 100 is 28.999999999999996.
    return min(max(math.floor(rate * total + 1e-9), 1), total)


def select_top(scores: Tensor, rate: float) -> Tensor:
    """Return the indices of the ``rate`` share of samples with the highest scores, best first."""
    check_terms(scores)
    order = torch.sort(scores, descending=True, stable=True).indices
    return order[: selection_count(len(scores), rate)]


def select_softmax(
    scores: Tensor, rate: float, generator: torch.Generator | None = None, temperature: float = 1.0
) -> Tensor:
    """Draw the ``rate`` share of samples without replacement, with chances proportional to exp(score / temperature).

    Args:
        scores: (N,) on the CPU.
        rate: share of the pool to draw, in (0, 1].
        generator: seeded source of the noise.
        temperature: above 0; small comes near ``select_top``, large near a uniform draw.
    """
    check_terms(scores)
    require(temperature > 0, "softmax_temperature", f"{temperature} is not above 0", "Give a positive number")
    waiting = torch.empty(len(scores), dtype=torch.float64).exponential_(generator=generator)
    return select_top(scores.double() / temperature - torch.log(waiting), rate)
