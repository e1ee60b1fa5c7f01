# SPDX-License-Identifier: Apache-2.0
"""FedBN (Li et al., ICLR 2021, arXiv 2102.07623): the whole workflow of the server."""

from __future__ import annotations

from dsfedmed.algorithms.local_layers import local_names
from dsfedmed.federated.methods.divided_rounds import DividedRounds
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.wire.tasks import LOCAL_LAYERS, TRAIN
from dsfedmed.options import require


class FedBN(DividedRounds):
    """FedAvg of everything but normalisation layers, which stay at their site.

    An unseen site is scored with the server's network, whose normalisation is that of the start.
    """

    METHOD = "fedbn"
    UPDATES = (LOCAL_LAYERS, TRAIN)
    TASK = LOCAL_LAYERS

    def local(self, plan: FederationPlan) -> frozenset[str]:
        """Return the names of the normalisation layers.

        Raises:
            ConfigError: the network has none that could stay.
        """
        local = local_names(plan.light_network())
        reason = (
            f"{plan.settings.light.bundle} has no normalisation layers with scale and shift, so this would be FedAvg"
        )
        require(bool(local), "light.bundle", reason, "Name another bundle, or run FedAvg as a comparison of DSFedMed")
        return local
