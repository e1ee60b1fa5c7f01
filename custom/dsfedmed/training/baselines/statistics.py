# SPDX-License-Identifier: Apache-2.0
"""FedRDN's two places: the last transform of a training image, and what a network is given to see in the end."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.transforms import MapTransform, Randomizable
from torch import Tensor, nn

from dsfedmed.algorithms.appearance.image_statistics import ChannelStatistics, renormalised


class RandStatisticsd(Randomizable, MapTransform):  # type: ignore[misc]
    """Normalise ``image`` with the statistics of a site that is drawn for it.

    Args:
        sites: each site's statistics; at least one.
        onto: the federation's mean.
    """

    def __init__(self, sites: Sequence[Sequence[ChannelStatistics]], onto: Sequence[ChannelStatistics]) -> None:
        MapTransform.__init__(self, "image")
        self.sites, self.onto = tuple(sites), onto

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with its image, (C, S, S), normalised."""
        drawn = self.sites[int(self.R.randint(len(self.sites)))]
        return {**data, "image": renormalised(data["image"], drawn, self.onto)}


class OwnStatistics(nn.Module):
    """A network that is given images normalised with a site's own statistics; it is not copied.

    Args:
        network: what sees them.
        own: the site's statistics.
        onto: the federation's mean.
    """

    def __init__(self, network: nn.Module, own: Sequence[ChannelStatistics], onto: Sequence[ChannelStatistics]) -> None:
        super().__init__()
        self.network, self.own, self.onto = network, own, onto

    def forward(self, images: Tensor) -> Tensor:
        """Return the network's logits of images (N, C, S, S) in [0, 1]."""
        logits: Tensor = self.network(renormalised(images, self.own, self.onto))
        return logits
