# SPDX-License-Identifier: Apache-2.0
"""FedDG-GA (Zhang et al., CVPR 2023, pages 3954 to 3963): the server's side."""

from __future__ import annotations

from dataclasses import replace

from dsfedmed.algorithms.drift.generalisation_gap import GapAdjustment
from dsfedmed.federated.methods.light_rounds import LightRounds
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.training_run import Beside, TrainingSpec, train_request
from dsfedmed.federated.wire.requests.training import TrainRequest
from dsfedmed.federated.wire.specs import RoundFacts
from dsfedmed.options import require


class FedDGGA(LightRounds):
    """FedAvg whose weights are not the image counts: they grow for a site whose own validation the mean hurt.

    The sites validate what they have trained before it leaves, which is one validation more a round; what travels is
    FedAvg's and that number. A gate or a trial that refuses an update leaves it out, and the others' weights are
    divided by their sum.
    """

    METHOD = "feddg_ga"

    def check_options(self) -> None:
        """Raise ``ConfigError`` where a robust rule would set the weights as well."""
        super().check_options()
        rules, reason = self.settings.robust, "FedDG-GA sets the sites' weights in the mean, and so does that"
        require(rules.rule == "mean", "robust.rule", reason, "Choose mean: gate and trials stay")
        require(rules.max_share == 1, "robust.max_share", reason, "Give 1")

    def training(self, plan: FederationPlan) -> TrainingSpec:
        """Rounds of FedAvg whose weights follow the gaps."""
        return TrainingSpec(self.METHOD, request=_request, adjustment=GapAdjustment(self.options.step))


def _request(plan: FederationPlan, spec: TrainingSpec, facts: RoundFacts, beside: Beside) -> TrainRequest:
    return replace(train_request(plan, spec, facts, beside), validate_trained=True)
