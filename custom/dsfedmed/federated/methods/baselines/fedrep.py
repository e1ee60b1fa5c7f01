# SPDX-License-Identifier: Apache-2.0
"""FedRep (Collins et al., ICML 2021, arXiv 2102.07099) and FedPer (arXiv 1912.00818): the server's side."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from dsfedmed.algorithms.representation import head_names
from dsfedmed.errors import ConfigError
from dsfedmed.federated.methods.divided_rounds import DividedRounds
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.training_run import Beside, TrainingSpec
from dsfedmed.federated.wire.requests.training import HeadRequest
from dsfedmed.federated.wire.specs import RoundFacts
from dsfedmed.federated.wire.tasks import LOCAL_HEAD, TRAIN
from dsfedmed.training.baselines.options import HeadOptions


class FedRep(DividedRounds):
    """FedAvg of the representation; every site fits a head of its own to it, which never leaves.

    An unseen site has no head. The mean of the sites' would have to be sent, which is what the method is to avoid, and
    the paper's new client fits one to labels of its own, which makes it a site that takes part. So it is scored with
    the head of the start, from which all sites' heads began.
    """

    METHOD = "fedrep"
    UPDATES = (LOCAL_HEAD, TRAIN)
    TASK = LOCAL_HEAD

    def training(self, plan: FederationPlan) -> TrainingSpec:
        """Rounds in which the representation travels; a site's head has passes of its own before it."""
        request, more = partial(_request, self.options), self.options.head_epochs
        return replace(super().training(plan), request=request, more_epochs=more)

    def local(self, plan: FederationPlan) -> frozenset[str]:
        """Return the names of the head.

        Raises:
            ConfigError: the network has no more layers than the head is to have.
        """
        try:
            return head_names(plan.light_network(), self.options.head_layers)
        except ValueError as error:
            raise ConfigError("method.head_layers", str(error), "Give fewer, or another light.bundle") from error


def _request(
    asked: HeadOptions, plan: FederationPlan, _spec: TrainingSpec, facts: RoundFacts, _beside: Beside
) -> HeadRequest:
    return HeadRequest(plan.common, facts, asked.head_epochs, asked.head_layers)
