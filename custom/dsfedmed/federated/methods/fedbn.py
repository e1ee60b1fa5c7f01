# SPDX-License-Identifier: Apache-2.0
"""FedBN (Li et al., ICLR 2021, arXiv 2102.07623): the whole workflow of the server."""

from __future__ import annotations

from dsfedmed.algorithms.local_layers import divide, local_names
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.methods.light_rounds import LightRounds
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.scored_model import ScoredModel
from dsfedmed.federated.server.training_run import TrainingSpec
from dsfedmed.federated.wire.tasks import LOCAL_LAYERS, TRAIN
from dsfedmed.options import require


class FedBN(LightRounds):
    """FedAvg of everything but normalisation layers, which stay at their site.

    An unseen site has no such layers. It is scored with the server's network, which has those of the start, and so is
    every site under "fedbn_shared": what the federation gives to sites that took no part.
    """

    METHOD = "fedbn"
    UPDATES = (LOCAL_LAYERS, TRAIN)

    def training(self, plan: FederationPlan) -> TrainingSpec:
        """Rounds in which only the shared layers travel."""
        return TrainingSpec("fedbn", task=LOCAL_LAYERS)

    def start(self, plan: FederationPlan) -> Weights:
        """Return the layers that are shared."""
        return divide(plan.start_weights(), _local_names(plan))[0]

    def scored(self, plan: FederationPlan, best: Weights) -> dict[str, ScoredModel]:
        """Return the sites' own networks and the shared one, which is released."""
        server = {**plan.start_weights(), **best}
        return {"fedbn": ScoredModel(server, own=LOCAL_LAYERS), "fedbn_shared": ScoredModel(server)}


def _local_names(plan: FederationPlan) -> frozenset[str]:
    """Return the names of what stays at the sites, every one of which starts it as a new layer does.

    Raises:
        ConfigError: the network has nothing that could stay, or starts from weights that the sites do not have.
    """
    reason = "its network is trained, and the sites begin FedBN's normalisation layers as new ones"
    require(plan.light_weights is None, "light_weights", reason, "Leave it out, or run another method")
    local = local_names(plan.light_network())
    reason = f"{plan.settings.light.bundle} has no normalisation layers with scale and shift, so this would be FedAvg"
    require(bool(local), "light.bundle", reason, "Name another bundle, or run FedAvg as a comparison of DSFedMed")
    return local
