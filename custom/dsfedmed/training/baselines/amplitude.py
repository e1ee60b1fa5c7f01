# SPDX-License-Identifier: Apache-2.0
"""FedDG's exchange as the last transform of a training image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.transforms import MapTransform, Randomizable
from torch import Tensor

from dsfedmed.algorithms.appearance.amplitude import with_amplitudes


class RandAmplitudesd(Randomizable, MapTransform):
    """Move the low amplitudes of ``image`` towards those of an image that is drawn for it.

    Args:
        sites: of every other site, the low amplitudes of its images, (N, C, 2 b + 1, 2 b + 1); at least one site.
            A site is drawn first, each alike, and then one of its images.
    """

    def __init__(self, sites: Sequence[Tensor]) -> None:
        MapTransform.__init__(self, "image")
        self.sites = tuple(sites)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with its image, (C, S, S) in [0, 1], changed."""
        site = self.sites[int(self.R.randint(len(self.sites)))]
        donor = site[int(self.R.randint(len(site)))]
        return {**data, "image": with_amplitudes(data["image"], donor, float(self.R.rand()))}
