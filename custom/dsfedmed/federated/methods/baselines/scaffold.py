# SPDX-License-Identifier: Apache-2.0
"""SCAFFOLD (Karimireddy et al., ICML 2020, arXiv 1910.06378): the server's side."""

from __future__ import annotations

from functools import partial

from dsfedmed.algorithms.drift.control_variates import ControlledMean, without_controls, zero_controls
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.methods.light_rounds import LightRounds
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.scored_model import ScoredModel
from dsfedmed.federated.server.training_run import TrainingSpec
from dsfedmed.federated.wire.tasks import CONTROLLED, TRAIN
from dsfedmed.options import require

OF_WHOLE_UPDATES = ("mean", "multi_krum")
"""Rules that choose among the sites and leave the mean to `ControlledMean`."""


class Scaffold(LightRounds):
    """FedAvg whose sites correct every gradient by control variates, which travel beside the weights: twice the bytes.

    A site's control variate is the mean gradient of its last round. One whose update is refused keeps its own all the
    same, so that the server's is then no longer quite the mean of theirs.
    """

    METHOD = "scaffold"
    UPDATES = (CONTROLLED, TRAIN)

    def check_options(self) -> None:
        """Raise ``ConfigError`` where a setting does not go with control variates."""
        super().check_options()
        reason = "control variates are averaged otherwise than weights, which rules on single numbers do not know"
        fix = f"Choose one of {', '.join(OF_WHOLE_UPDATES)}"
        require(self.settings.robust.rule in OF_WHOLE_UPDATES, "robust.rule", reason, fix)
        reason = "float16 scales the gradients that SCAFFOLD corrects"
        require(self.settings.light.autocast != "float16", "light.autocast", reason, "Choose off or bfloat16")

    def training(self, plan: FederationPlan) -> TrainingSpec:
        """Rounds in which weights and control variates travel together."""
        return TrainingSpec(self.METHOD, task=CONTROLLED, mean_of=partial(ControlledMean, sites=len(plan.counts)))

    def start(self, plan: FederationPlan) -> Weights:
        """Return the start weights, and control variates of zeros."""
        return {**plan.start_weights(), **zero_controls(plan.light_network())}

    def scored(self, plan: FederationPlan, best: Weights) -> dict[str, ScoredModel]:
        """Return the weights without the control variates."""
        return {self.METHOD: ScoredModel(without_controls(best))}
