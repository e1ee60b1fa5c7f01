# SPDX-License-Identifier: Apache-2.0
"""The likelihood-ratio attack, online (Carlini et al., S&P 2022, arXiv 2112.03570, algorithm 1)."""

from __future__ import annotations

from torch import Tensor

LEAST_DEVIATION = 1e-6


def likelihood_ratios(target: Tensor, shadows: Tensor, inside: Tensor) -> Tensor:
    """Return log p(score | member) - log p(score | other) of each image under normal distributions from the shadows.

    Both have a mean of their own for each image and one common variance for all, which the authors advise for few
    shadows (section VI.D).

    Args:
        target: float (n,), the attacked network's statistic of each image, near normal, such as minus a log loss.
        shadows: float (s, n), that of each shadow network.
        inside: bool (s, n), whether the shadow network was trained on the image; each image is in one at least and
            lacks in one at least.

    Raises:
        ValueError: an image is in all shadows or in none.
    """
    if bool(inside.all(dim=0).any()) or bool((~inside).all(dim=0).any()):
        raise ValueError("an image is in all shadows or in none")
    told = [_normal(shadows.double(), group) for group in (inside, ~inside)]
    (near, far) = [-((target.double() - mean) ** 2) / (2 * deviation**2) - deviation.log() for mean, deviation in told]
    return near - far


def _normal(scores: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean (n,) over the shadows of ``group`` (s, n), and the common deviation () of all images."""
    counts = group.sum(dim=0)
    means = (scores * group).sum(dim=0) / counts
    squares = ((scores - means) ** 2 * group).sum()
    freedom = (counts - 1).sum().clamp(min=1)
    return means, (squares / freedom).sqrt().clamp(min=LEAST_DEVIATION)
