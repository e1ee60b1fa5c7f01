# SPDX-License-Identifier: Apache-2.0
"""How well a score tells members from others: area under the curve, and true positives at few false ones.

Scores are higher for what the attacker takes for a member. Carlini et al. (Membership inference attacks from first
principles, S&P 2022, arXiv 2112.03570) argue for the second figure: an attack that is right on average only is of
little use, one that is sure of a few patients harms them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy.stats import t as student
from torch import Tensor

from dsfedmed.seeds import generator

RESAMPLES = 1000
COVERED = 0.95
FALSE_POSITIVES = 0.01


@dataclass(frozen=True)
class Interval:
    """A figure and its interval of 95 %."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return the figure with its interval, at two decimals."""
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class Scored:
    """Scores of one group that is compared within itself, such as a site.

    Attributes:
        members: float (m,), of images that were trained on.
        others: float (n,), of images that were not.
    """

    members: Tensor
    others: Tensor


def area_under_curve(members: Tensor, others: Tensor) -> float:
    """Return the probability in [0, 1] that a member scores above another image, ties by half (Mann and Whitney).

    Args:
        members: float (m,), m above 0.
        others: float (n,), n above 0.

    Raises:
        ValueError: one of both is empty.
    """
    if not len(members) or not len(others):
        raise ValueError("no scores to compare")
    ordered = others.double().sort().values
    mine = members.double().contiguous()
    below, upto = torch.searchsorted(ordered, mine), torch.searchsorted(ordered, mine, right=True)
    return float((below + upto).double().mean() / (2 * len(others)))


def true_positives(members: Tensor, others: Tensor, rate: float = FALSE_POSITIVES) -> float:
    """Return the share of members above the highest threshold that lets at most ``rate`` of the others through.

    Of n others floor(rate n) may score above the threshold, so that with fewer than 1 / rate of them none may.
    """
    allowed = int(rate * len(others) + 1e-9)
    threshold = others.double().sort(descending=True).values[allowed]
    return float((members.double() > threshold).double().mean())


def pooled_area(groups: list[Scored]) -> float:
    """Return the mean area over groups, each weighted by its pairs: members are compared within their group alone."""
    weights = [len(group.members) * len(group.others) for group in groups]
    areas = [area_under_curve(group.members, group.others) for group in groups]
    return sum(weight * area for weight, area in zip(weights, areas, strict=True)) / sum(weights)


def pooled_true_positives(groups: list[Scored]) -> float:
    """Return the share of all members that are found, with a threshold of its own in each group."""
    found = [len(group.members) * true_positives(group.members, group.others) for group in groups]
    return sum(found) / sum(len(group.members) for group in groups)


def bootstrap(
    figure: Callable[[list[Scored]], float], groups: list[Scored], seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """Return a figure with the percentile interval of resampled members and resampled others in each group."""
    draws = generator(seed)
    found = sorted(figure([_resampled(group, draws) for group in groups]) for _ in range(resamples))
    edge = (1 - COVERED) / 2
    return Interval(figure(groups), found[int(edge * resamples)], found[int((1 - edge) * resamples) - 1])


def _resampled(group: Scored, draws: torch.Generator) -> Scored:
    picked = [values[torch.randint(len(values), (len(values),), generator=draws)] for values in vars(group).values()]
    return Scored(*picked)


def over_networks(figures: list[float]) -> Interval:
    """Return the mean of one figure each of several networks, with Student's interval over the networks."""
    count = len(figures)
    middle = sum(figures) / count
    deviation = (sum((figure - middle) ** 2 for figure in figures) / (count - 1)) ** 0.5
    reach = float(student.ppf((1 + COVERED) / 2, count - 1)) * deviation / count**0.5
    return Interval(middle, middle - reach, middle + reach)
