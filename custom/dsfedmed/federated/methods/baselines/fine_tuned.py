# SPDX-License-Identifier: Apache-2.0
"""FedAvg with fine-tuning at the sites (arXiv 1910.10252, 2205.13692): the server's side."""

from __future__ import annotations

from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.methods.light_rounds import LightRounds
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.scored_model import ScoredModel
from dsfedmed.federated.server.stages.own.fine_tuning import STAGE, fine_tune
from dsfedmed.federated.server.training_run import TrainingSpec
from dsfedmed.federated.server.training_state import TrainingState
from dsfedmed.federated.wire.tasks import FINE_TUNE, TRAIN
from dsfedmed.settings import Settings


class FineTuned(LightRounds):
    """FedAvg; then every site trains the released network on its own images, and keeps what its validation chose.

    An unseen site has none; it is scored with the released network, which is FedAvg's.
    """

    METHOD = "finetuned"
    UPDATES = (TRAIN,)

    @classmethod
    def stages(cls, settings: Settings) -> tuple[str, ...]:
        """Name the stages of a run in order."""
        first, rounds, *others = super().stages(settings)
        return (first, rounds, STAGE, *others)

    def training(self, plan: FederationPlan) -> TrainingSpec:
        """Rounds of FedAvg."""
        return TrainingSpec(self.METHOD)

    def after_rounds(self, plan: FederationPlan, state: TrainingState) -> None:
        """Fine-tune at the sites."""
        fine_tune(self, plan, state, self.options)

    def scored(self, plan: FederationPlan, best: Weights) -> dict[str, ScoredModel]:
        """Return the sites' own networks, and the one they began with, which is released."""
        return {"finetuned": ScoredModel(best, own=FINE_TUNE), "finetuned_global": ScoredModel(best)}
