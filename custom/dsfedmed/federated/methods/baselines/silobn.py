# SPDX-License-Identifier: Apache-2.0
"""SiloBN (Andreux et al., DART 2020, arXiv 2008.07424): the server's side."""

from __future__ import annotations

from dsfedmed.algorithms.local_layers import statistics_names
from dsfedmed.federated.methods.divided_rounds import DividedRounds
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.wire.tasks import LOCAL_STATISTICS, TRAIN
from dsfedmed.options import require


class SiloBN(DividedRounds):
    """FedAvg of everything, scale and shift included, but for batch statistics, which stay at their site.

    An unseen site takes statistics of its own training images, without their labels. The release, which belongs to no
    site, has those of the start, and its figures are those of "silobn_shared".
    """

    METHOD = "silobn"
    UPDATES = (LOCAL_STATISTICS, TRAIN)
    TASK = LOCAL_STATISTICS

    def local(self, plan: FederationPlan) -> frozenset[str]:
        """Return the names of the statistics.

        Raises:
            ConfigError: the network keeps none, as its layers normalise each image by itself.
        """
        local = statistics_names(plan.light_network())
        bundle = plan.settings.light.bundle
        reason = f"{bundle} keeps no batch statistics (its layers normalise each image by itself), so this is FedAvg"
        fix = "Name a bundle with batch normalisation, such as light_flexible_unet_segmentation, or run FedAvg"
        require(bool(local), "light.bundle", reason, fix)
        return local
