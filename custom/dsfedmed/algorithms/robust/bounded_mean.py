# SPDX-License-Identifier: Apache-2.0
"""The mean of what sites report, in which no one site can move the result beyond what others report.

Source: the winsorised mean (Huber, Robust Statistics, 1981, section 3.3) with one value at each end.
"""

from __future__ import annotations

from collections.abc import Sequence


def bounded_mean(values: Sequence[float]) -> float:
    """Return the mean, the largest value taken as the second largest and the smallest as the second smallest.

    Of three or four values that is their median. Of one or two it is their plain mean: between two that differ nobody
    can decide.

    Args:
        values: one or more.
    """
    ordered = sorted(values)
    if len(ordered) > 2:
        ordered = [ordered[1], *ordered[1:-1], ordered[-2]]
    return sum(ordered) / len(ordered)
