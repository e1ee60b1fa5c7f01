# SPDX-License-Identifier: Apache-2.0
"""Norm clipping: no update is longer than the median one.

Source: Sun et al., Can You Really Backdoor Federated Learning? (arXiv 1911.07963), section 3:
w_k / max(1, ||w_k|| / M).

Deviation: M is the median norm of the round's updates instead of a number chosen beforehand.
"""

from __future__ import annotations

import torch
from torch import Tensor


def clipping_factors(norms: Tensor) -> Tensor:
    """Return the factor of every update, in (0, 1], (K).

    Args:
        norms: (K), 0 or more.
    """
    ordered = norms.sort().values
    bound = ordered[(len(ordered) - 1) // 2]  # of an even number the lower one: half of the sites cannot lift it
    return torch.where(norms > bound, bound / norms, torch.ones_like(norms))
