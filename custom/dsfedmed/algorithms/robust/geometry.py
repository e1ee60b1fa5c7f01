# SPDX-License-Identifier: Apache-2.0
"""Inner products and distances of updates, in float64, a part of the numbers at a time."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def gram_matrix(parts: Iterable[Tensor]) -> Tensor:
    """Return the inner products of all pairs of updates, (K, K), float64.

    Args:
        parts: of the updates as rows, (K, any); float32. Together they hold every number once.
    """
    return torch.stack([part.double() @ part.double().T for part in parts]).sum(dim=0)


def squared_distances(gram: Tensor) -> Tensor:
    """Return the squared distances of all pairs, (K, K), float64, 0 or more.

    Args:
        gram: (K, K) inner products.
    """
    squares = gram.diagonal()
    return (squares[:, None] + squares[None, :] - 2 * gram).clamp_min(0)
