# SPDX-License-Identifier: Apache-2.0
"""Eight-bit numbers for differences of weights: one scale for each output channel, and error feedback.

A row r of a tensor (its first axis; a vector is one row) becomes whole numbers q = round(x / s_r) in [-127, 127] with
s_r = max|x_r| / 127, so that |x - s_r q| <= s_r / 2. What rounding took away is not lost but added to the next
difference (error feedback: Seide et al., Interspeech 2014; Karimireddy et al., arXiv 1901.09847, algorithm 2):

    send Q(d + e),   e <- d + e - Q(d + e)

so that all that was ever sent is the sum of all differences up to the last residual e, whatever the rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 127
# Below this a row's scale would not be a normal float32; such a row is all zeros.
LEAST = LEVELS * torch.finfo(torch.float32).tiny


def quantise(values: Tensor) -> tuple[Tensor, Tensor]:
    """Round a finite float32 tensor to eight bits.

    Args:
        values: any shape; the first axis holds the rows unless there is only one axis.

    Returns:
        The whole numbers, int8 in [-127, 127] in the shape of ``values``, and one float32 scale a row; the scale of a
        row of zeros is 0.
    """
    rows = as_rows(values)
    largest = rows.abs().amax(dim=1) if rows.numel() else rows.new_zeros(len(rows))
    scales = torch.where(largest >= LEAST, largest / LEVELS, torch.zeros_like(largest))
    steps = torch.where(scales > 0, scales, torch.ones_like(scales)).unsqueeze(1)
    codes = torch.where(scales.unsqueeze(1) > 0, rows / steps, torch.zeros_like(rows))
    return codes.round_().clamp_(-LEVELS, LEVELS).to(torch.int8).reshape(values.shape), scales


def dequantise(codes: Tensor, scales: Tensor) -> Tensor:
    """Return float32 values s_r q; one product for each number, so that every receiver gets the same bits."""
    rows = as_rows(codes).to(torch.float32)
    return (rows * scales.to(torch.float32).unsqueeze(1)).reshape(codes.shape)


def row_count(shape: tuple[int, ...]) -> int:
    """Return how many scales a tensor of this shape has."""
    return shape[0] if len(shape) > 1 else 1


def as_rows(tensor: Tensor) -> Tensor:
    """Return the tensor as a matrix with one row a scale."""
    count = row_count(tuple(tensor.shape))
    return tensor.reshape(count, tensor.numel() // count if count else 0)
