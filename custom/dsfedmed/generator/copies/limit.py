# SPDX-License-Identifier: Apache-2.0
"""From which agreement on an image is a copy: what other patients' images reach by chance, and a small share more.

An image's agreement is the greatest over many training images, so that by chance it follows Gumbel's distribution of
extremes (Gumbel 1958). It is fitted by the median and the upper quartile, which a few true copies among the other
patients' images (public data sets hold some) do not move. Where those images themselves say less, that counts, with a
quarter more: a few hundred images do not show the rarest chance.
"""

from __future__ import annotations

import math

from torch import Tensor

MARGIN = 1.25


def chance_limit(agreements: Tensor, share: float, least: float) -> float:
    """Return what a share of images that are no copies exceed.

    Args:
        agreements: float (B,), of images that are no copies; B is 1 or more.
        share: in (0, 1).
        least: above 0, what is returned where chance reaches less.
    """
    middle, upper = (float(agreements.quantile(part)) for part in (0.5, 0.75))
    scale = (upper - middle) / (_reduced(0.75) - _reduced(0.5))
    fitted = middle + scale * (_reduced(1 - share) - _reduced(0.5))
    return max(least, min(fitted, MARGIN * float(agreements.quantile(1 - share))))


def _reduced(probability: float) -> float:
    """Return the quantile of the standard Gumbel distribution."""
    return -math.log(-math.log(probability))
