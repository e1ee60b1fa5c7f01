# SPDX-License-Identifier: Apache-2.0
"""Images that take on another site's mean and spread: FedRDN.

Source: Yan et al., A Simple Data Augmentation for Feature Distribution Skewed Federated Learning, arXiv 2306.09363.
Site k shares, channel by channel, the mean over its images of their mean, mu_k, and of their standard deviation,
sigma_k (the sample's, S^2 - 1 below). A training image x is normalised with those of a site that is drawn for it each
time it is seen, a test image with its own site's:

    x' = (x - mu_j) / sigma_j * s + m            j ~ uniform over the sites in training, j = k in the end

Deviations: m and s are the sites' means of mu and sigma, where the paper has 0 and 1. This fixed map is the same at
every site; with it a network takes images in [0, 1] as those of other methods do, and somebody who has no statistics
of their own and gives images as they are normalises with the federation's mean. The release draws one mean and one
deviation, apart from each other, for a whole batch; the paper, and this, a pair for an image. sigma is at least
`LEAST`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import torch
from torch import Tensor

from dsfedmed.ranges import MOST_CHANNELS, Between, Fraction, Length

LEAST = 0.01
"""Least standard deviation: an empty image has none, and nobody may blow up another site's images without bound."""
Deviation: TypeAlias = Annotated[float, Between(LEAST, 1)]


@dataclass(frozen=True)
class ChannelStatistics:
    """Mean, and mean standard deviation, of one channel of images in [0, 1]."""

    mean: Fraction
    deviation: Deviation


ImageStatistics: TypeAlias = Annotated[tuple[ChannelStatistics, ...], Length(MOST_CHANNELS)]
"""Those of every channel, in order."""


def statistics_of(images: Tensor) -> tuple[ChannelStatistics, ...]:
    """Return mu and sigma of images (N, C, S, S) in [0, 1], N at least 1 and S at least 2."""
    flat = images.double().flatten(2)
    means, deviations = flat.mean(2).mean(0).clamp(0, 1), flat.std(2).mean(0).clamp(LEAST, 1)
    pairs = zip(means.tolist(), deviations.tolist(), strict=True)
    return tuple(ChannelStatistics(mean, deviation) for mean, deviation in pairs)


def mean_statistics(sites: Collection[Sequence[ChannelStatistics]]) -> tuple[ChannelStatistics, ...]:
    """Return m and s: the mean over the sites, each alike, at least one and all of the same channels."""
    return tuple(
        ChannelStatistics(
            sum(each.mean for each in channel) / len(sites), sum(each.deviation for each in channel) / len(sites)
        )
        for channel in zip(*sites, strict=True)
    )


def renormalised(images: Tensor, known: Sequence[ChannelStatistics], onto: Sequence[ChannelStatistics]) -> Tensor:
    """Return (x - mu) / sigma * s + m of images (..., C, S, S), with ``known`` mu and sigma ``onto`` m and s."""

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=images.dtype, device=images.device).view(-1, 1, 1)

    mu, sigma = column([each.mean for each in known]), column([each.deviation for each in known])
    m, s = column([each.mean for each in onto]), column([each.deviation for each in onto])
    return (images - mu) / sigma * s + m
