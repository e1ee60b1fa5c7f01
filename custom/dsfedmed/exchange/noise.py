# SPDX-License-Identifier: Apache-2.0
"""The Gaussian mechanism on named tensors: clip them as one vector, add noise (Dwork and Roth 2014, appendix A)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from dsfedmed.algorithms.private.secret_draws import SecretDraws


def global_norm(tensors: Mapping[str, Tensor]) -> float:
    """Return the L2 norm of all numbers together, summed in float64."""
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in tensors.values()))


def clip_to_norm(tensors: Mapping[str, Tensor], bound: float) -> dict[str, Tensor]:
    """Scale all tensors by one factor, so that their common L2 norm is at most ``bound``.

    Args:
        tensors: floating point, of any shapes.
        bound: C > 0.

    Returns:
        float32 tensors of the same shapes: t * min(1, C / norm).

    Raises:
        ValueError: a tensor is not floating point, a number is not finite, or the bound is not above 0.
    """
    if not bound > 0:
        raise ValueError(f"the bound is {bound}, not above 0")
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise ValueError(f"{name} is {tensor.dtype}; only floating point can be clipped")
    norm = global_norm(tensors)
    if not math.isfinite(norm):
        raise ValueError("a number is not finite")
    factor = min(1.0, bound / norm) if norm else 1.0
    return {name: tensor.float() * factor for name, tensor in tensors.items()}


def add_gaussian(tensors: Mapping[str, Tensor], deviation: float, seed: int) -> dict[str, Tensor]:
    """Return float32 tensors with independent normal noise of the given standard deviation on every number.

    The draw depends on the seed and on names and shapes, not on the order of the mapping. The seed must stay secret and
    come from the operating system; all of its bits count (`dsfedmed.algorithms.private.secret_draws`).
    """
    draws = SecretDraws(str(seed))
    noisy = {}
    for name, tensor in tensors.items():
        drawn = draws.normal(tensor.numel(), name).reshape(tensor.shape)
        noisy[name] = (tensor.double() + deviation * drawn.to(tensor.device)).float()
    return noisy
