# SPDX-License-Identifier: Apache-2.0
"""Tasks of FedRDN: ``dsf_statistics`` and ``dsf_randomised``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from dsfedmed.algorithms.appearance.image_statistics import ImageStatistics
from dsfedmed.federated.wire.specs import RoundFacts, RunFacts
from dsfedmed.ranges import Length, SiteName


@dataclass(frozen=True)
class StatisticsRequest:
    """Asks for the mean and spread of the site's images.

    Attributes:
        common: of the run: the bundle says how images are prepared.
    """

    common: RunFacts


@dataclass(frozen=True)
class StatisticsReply:
    """Two numbers a channel, over all training and validation images together.

    Attributes:
        statistics: mean, and mean standard deviation, of every channel.
    """

    statistics: ImageStatistics


@dataclass(frozen=True)
class RandomisedRequest:
    """A round of FedRDN; the weights come as tensors.

    Attributes:
        common: of the run.
        round: which round.
        statistics: of every site that has sent its own.
        onto: their mean.
    """

    common: RunFacts
    round: RoundFacts
    statistics: Annotated[dict[SiteName, ImageStatistics], Length(1000)]
    onto: ImageStatistics
