# SPDX-License-Identifier: Apache-2.0
"""FedAvgM, FedAdam and FedYogi: FedAvg whose server takes the mean as a step of its own optimiser.

Sources: arXiv 1909.06335 and 2003.00295, see `dsfedmed.algorithms.drift.server_optimizers`. The sites do what they do
in FedAvg, and what travels is the same.
"""

from __future__ import annotations

from dsfedmed.algorithms.drift.server_optimizers import ServerOptimizer, ServerRule
from dsfedmed.federated.methods.light_rounds import LightRounds
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.training_run import TrainingSpec


class FedAvgM(LightRounds):
    """Momentum over the rounds."""

    METHOD = "fedavgm"

    def training(self, plan: FederationPlan) -> TrainingSpec:
        """Rounds of FedAvg, each mean a step with momentum."""
        asked = self.options
        server = ServerOptimizer("momentum", asked.learning_rate, asked.momentum)
        return TrainingSpec(self.METHOD, server=server)


class FedAdam(LightRounds):
    """A rate of its own for every number, after the sizes of its differences."""

    METHOD = "fedadam"
    RULE: ServerRule = "adam"

    def training(self, plan: FederationPlan) -> TrainingSpec:
        """Rounds of FedAvg, each mean an adaptive step."""
        asked = self.options
        server = ServerOptimizer(self.RULE, asked.learning_rate, asked.momentum, asked.second, asked.tau)
        return TrainingSpec(self.METHOD, server=server)


class FedYogi(FedAdam):
    """FedAdam whose rates rise no faster than the differences fall."""

    METHOD = "fedyogi"
    RULE: ServerRule = "yogi"
