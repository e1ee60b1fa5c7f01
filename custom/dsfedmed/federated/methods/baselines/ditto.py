# SPDX-License-Identifier: Apache-2.0
"""Ditto (Li, Hu, Beirami and Smith, ICML 2021, arXiv 2012.04221, algorithm 1): the server's side."""

from __future__ import annotations

from functools import partial

from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.methods.light_rounds import LightRounds
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.scored_model import ScoredModel
from dsfedmed.federated.server.training_run import Beside, TrainingSpec
from dsfedmed.federated.wire.requests.training import DittoRequest
from dsfedmed.federated.wire.specs import RoundFacts
from dsfedmed.federated.wire.tasks import DITTO, TRAIN
from dsfedmed.training.baselines.options import DittoOptions


class Ditto(LightRounds):
    """FedAvg, and at every site a network of its own that is pulled to the global one and never leaves.

    An unseen site has none; it is scored with the global network, which is FedAvg's.
    """

    METHOD = "ditto"
    UPDATES = (DITTO, TRAIN)

    def training(self, plan: FederationPlan) -> TrainingSpec:
        """Rounds of FedAvg, in each of which a site trains its own network as well."""
        return TrainingSpec(self.METHOD, task=DITTO, request=partial(_request, self.options))

    def scored(self, plan: FederationPlan, best: Weights) -> dict[str, ScoredModel]:
        """Return the sites' own networks, and the global one, which is released."""
        return {"ditto": ScoredModel(best, own=DITTO), "ditto_global": ScoredModel(best)}


def _request(
    asked: DittoOptions, plan: FederationPlan, _spec: TrainingSpec, facts: RoundFacts, _beside: Beside
) -> DittoRequest:
    return DittoRequest(plan.common, facts, asked.pull)
