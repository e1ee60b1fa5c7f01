# SPDX-License-Identifier: Apache-2.0
"""Coordinate-wise median and trimmed mean.

Source: Yin et al., Byzantine-Robust Distributed Learning (ICML 2018, arXiv 1803.01498), definitions 1 and 2.

Deviation: none; both count every site alike, whatever its number of images, for a site could claim more of them.
"""

from __future__ import annotations

from torch import Tensor

from dsfedmed.algorithms.robust.bad_sites import require_outvoted


def coordinate_median(updates: Tensor) -> Tensor:
    """Return the median of every number over the sites, float32 (n); of an even number the mean of the middle two.

    Args:
        updates: (K, n), K from 1; float32; all numbers or a part of them.
    """
    sites = len(updates)
    return _middle(updates, (sites - 1) // 2)


def trimmed_mean(updates: Tensor, bad: int) -> Tensor:
    """Return the mean of every number over the sites without its ``bad`` largest and smallest, float32 (n).

    Args:
        updates: (K, n); float32; all numbers or a part of them.
        bad: sites that may be bad.

    Raises:
        ConfigError: with K <= 2 ``bad`` nothing would be left.
    """
    require_outvoted("trimmed_mean", len(updates), bad, least=2 * bad + 1)
    return _middle(updates, bad)


def _middle(updates: Tensor, cut: int) -> Tensor:
    """Return the mean of what is left of every sorted column without ``cut`` numbers at each end."""
    ordered = updates.sort(dim=0).values
    return ordered[cut : len(updates) - cut].double().mean(dim=0).float()
