# SPDX-License-Identifier: Apache-2.0
"""What a method of the light network has whose rounds are all alike: its training, and what is scored in the end."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.scored_model import ScoredModel
from dsfedmed.federated.server.stages.centralised import require_simulation
from dsfedmed.federated.server.stages.check_sites import check_sites
from dsfedmed.federated.server.stages.comparison import compare, compared_stages
from dsfedmed.federated.server.stages.evaluation import evaluate
from dsfedmed.federated.server.stages.own.cross_site import crossed_stages
from dsfedmed.federated.server.stages.release import release
from dsfedmed.federated.server.training_run import TrainingSpec, train_all_rounds
from dsfedmed.federated.server.training_state import TrainingState
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.methods import METHODS
from dsfedmed.settings import Settings


class LightRounds(FederatedWorkflow):
    """Rounds of the light network, then what it is compared with, the scores and the release.

    A method says how a round goes (`training`) and, where that is not the network that travelled, what is scored.
    """

    options: Any = None
    """The method's own options, of the class that its entry names."""

    def check_options(self) -> None:
        """Read the method's own options; raise ``ConfigError`` naming the first that is unknown or out of range."""
        kind = METHODS[self.METHOD].load_options()
        if kind is None:
            super().check_options()
        else:
            self.options = kind.from_dict(self.settings.method)

    @classmethod
    def stages(cls, settings: Settings) -> tuple[str, ...]:
        """Name the stages of a run in order."""
        wanted = compared_stages(settings.compare)
        scored = ("evaluate comparison",) if wanted else ()
        return ("check sites", "rounds", *wanted, "evaluate", *scored, *crossed_stages(settings.compare), "release")

    @abstractmethod
    def training(self, plan: FederationPlan) -> TrainingSpec:
        """Return how the rounds go; its name is the method's."""

    def start(self, plan: FederationPlan) -> Weights:
        """Return what travels in the first round."""
        return plan.start_weights()

    def after_rounds(self, plan: FederationPlan, state: TrainingState) -> None:
        """Do what comes before others are compared, nothing by default; its steps are added to ``state``."""

    def scored(self, plan: FederationPlan, best: Weights) -> dict[str, ScoredModel]:
        """Return what is scored of the chosen round's ``best``, by name; the release is the last one's."""
        return {self.METHOD: ScoredModel(best)}

    def work(self) -> None:
        """All rounds; then what they are compared with, the scores, and the release."""
        plan = check_sites(self)
        require_simulation(self)
        state = train_all_rounds(self, plan, self.training(plan), self.start(plan))
        self.after_rounds(plan, state)
        others = compare(self, plan, state)
        ours = self.scored(plan, state.best)
        evaluate(self, plan, ours, others)
        shown = list(ours)[-1]
        release(self, plan, ours[shown].weights, scored=shown)
