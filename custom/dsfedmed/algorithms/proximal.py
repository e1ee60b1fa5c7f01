# SPDX-License-Identifier: Apache-2.0
"""FedProx's proximal term (Li et al., MLSys 2020, equation 2): a site's weights are held near the round's start."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def proximal_term(weights: Sequence[Tensor], anchor: Sequence[Tensor]) -> Tensor:
    """Return 1/2 sum |w - w_t|^2 over all numbers; the caller multiplies by mu.

    Args:
        weights: what is trained, of any shapes.
        anchor: the round's start, of the same shapes, without gradients.

    Returns:
        A scalar that carries gradients to ``weights``: w - w_t each.

    Raises:
        ValueError: the two do not pair up.
    """
    if [tuple(w.shape) for w in weights] != [tuple(a.shape) for a in anchor]:
        raise ValueError("weights and anchor differ in number or shape")
    squares = [(w - a).square().sum() for w, a in zip(weights, anchor, strict=True)]
    return 0.5 * torch.stack(squares).sum() if squares else torch.zeros(())
