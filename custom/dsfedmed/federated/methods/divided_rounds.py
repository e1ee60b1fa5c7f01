# SPDX-License-Identifier: Apache-2.0
"""What a method of the light network has whose sites keep a part of it to themselves."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from dsfedmed.algorithms.local_layers import divide
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.methods.light_rounds import LightRounds
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.scored_model import ScoredModel
from dsfedmed.federated.server.training_run import TrainingSpec
from dsfedmed.federated.wire.task import Task
from dsfedmed.options import require


class DividedRounds(LightRounds):
    """FedAvg of a part of the light network; the rest stays at the sites, each of which is scored with its own.

    An unseen site has no such part. It is scored with the server's network, whose part is that of the start, and so is
    every site under "METHOD_shared": what the federation gives to sites that took no part.
    """

    TASK: Task[Any, Any]
    """A round at a site, which leaves the site a network of its own."""

    @abstractmethod
    def local(self, plan: FederationPlan) -> frozenset[str]:
        """Return the names of what stays at the sites; raise ``ConfigError`` where there is nothing to divide."""

    def training(self, plan: FederationPlan) -> TrainingSpec:
        """Rounds in which only the shared part travels."""
        return TrainingSpec(self.METHOD, task=self.TASK)

    def start(self, plan: FederationPlan) -> Weights:
        """Return the part that is shared.

        Raises:
            ConfigError: the network starts from weights that the sites do not have.
        """
        reason = "its network is trained, and what stays at the sites begins there as new"
        require(plan.light_weights is None, "light_weights", reason, "Leave it out, or run another method")
        return divide(plan.start_weights(), self.local(plan))[0]

    def scored(self, plan: FederationPlan, best: Weights) -> dict[str, ScoredModel]:
        """Return the sites' own networks and the shared one, which is released."""
        server = {**plan.start_weights(), **best}
        return {self.METHOD: ScoredModel(server, own=self.TASK), f"{self.METHOD}_shared": ScoredModel(server)}
