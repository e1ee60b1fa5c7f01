# SPDX-License-Identifier: Apache-2.0
"""MOON (Li, He and Song, CVPR 2021, arXiv 2103.16057): the server's side."""

from __future__ import annotations

from functools import partial

from dsfedmed.federated.methods.light_rounds import LightRounds
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.training_run import Beside, TrainingSpec
from dsfedmed.federated.wire.requests.training import ContrastRequest
from dsfedmed.federated.wire.specs import RoundFacts
from dsfedmed.federated.wire.tasks import CONTRAST, TRAIN
from dsfedmed.training.baselines.options import ContrastOptions


class Moon(LightRounds):
    """FedAvg whose sites hold the inside of their network near the global one's and off from their own last one's."""

    METHOD = "moon"
    UPDATES = (CONTRAST, TRAIN)

    def training(self, plan: FederationPlan) -> TrainingSpec:
        """Rounds of FedAvg with the contrastive loss beside the bundle's."""
        return TrainingSpec(self.METHOD, task=CONTRAST, request=partial(_request, self.options))


def _request(
    asked: ContrastOptions, plan: FederationPlan, _spec: TrainingSpec, facts: RoundFacts, _beside: Beside
) -> ContrastRequest:
    return ContrastRequest(plan.common, facts, asked.contrast_weight, asked.temperature)
