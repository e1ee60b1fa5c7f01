# SPDX-License-Identifier: Apache-2.0
"""What a method of others has whose labels are at the server only: SAM-Fed's setting, without SAM.

The server's public set starts the global network and goes to the sites; they train on it and on their own unlabelled
images; the server validates on its own part of it. Beside it the network of the public labels alone is trained.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dsfedmed.algorithms.aggregation import WeightedMean
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.averaging import MeanOf
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.scored_model import ScoredModel
from dsfedmed.federated.server.stages.broadcast import PublicBroadcast, still_there, unlabelled_sites
from dsfedmed.federated.server.stages.check_sites import check_sites
from dsfedmed.federated.server.stages.evaluation import evaluate
from dsfedmed.federated.server.stages.public_set import (
    PublicSet,
    labels_only,
    load_public_set,
    start_global,
    validate_weights,
)
from dsfedmed.federated.server.stages.release import release
from dsfedmed.federated.server.training_run import (
    Beside,
    TrainingSpec,
    end_rounds,
    report,
    resume_or_start,
    train_round,
)
from dsfedmed.federated.server.training_state import TrainingState
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.requests.unlabelled import UnlabelledRequest
from dsfedmed.federated.wire.specs import RoundFacts
from dsfedmed.federated.wire.tasks import UNLABELLED
from dsfedmed.methods import METHODS
from dsfedmed.options import require
from dsfedmed.settings import Settings
from dsfedmed.training.semi_supervised.public import PublicLoss

NEEDED = ("training", "test")


class PublicLabels(FederatedWorkflow):
    """Public labels at the server, rounds of the light network at sites without any, and the labels alone beside it.

    What a site does in a round is told by the method's options, which every request has.
    """

    PUBLIC = True
    UPDATES = (UNLABELLED,)
    MEAN_OF: MeanOf = WeightedMean
    """How the sites' differences become one."""
    options: Any = None
    """The method's own options, of the class that its entry names."""

    @classmethod
    def stages(cls, settings: Settings) -> tuple[str, ...]:
        """Name the stages of a run in order."""
        del settings
        before = ("check sites", "public set", "public start", "broadcast public set", "rounds")
        return (*before, "compare labels only", "evaluate", "evaluate comparison", "release")

    def check_options(self) -> None:
        """Read the method's own options; raise ``ConfigError`` naming the first that is unknown or out of range."""
        kind = METHODS[self.METHOD].load_options()
        assert kind is not None, "the label site is an option of every such method"
        self.options = kind.from_dict(self.settings.method)
        require_plain_steps(self.settings)

    def public_passes(self) -> int:
        """Return how many passes over the public set come before a round's over the own images; 0: beside them."""
        return 0

    def start_loss(self) -> PublicLoss | None:
        """Return the loss of the global start on the public labels; None for the bundle's."""
        return None

    def require_network(self, plan: FederationPlan) -> None:
        """Raise ``ConfigError`` where the method cannot train the run's light network."""

    def work(self) -> None:
        """Public start, broadcast and rounds; then the network of the public labels alone, the scores, the release."""
        asked = unlabelled_sites(self, self.options.label_site)
        plan = check_sites(self, NEEDED)
        self.require_network(plan)
        training = still_there(self, asked)
        public = load_public_set(self, plan)
        start, spent = start_global(self, plan, public, self.options.public_epochs, self.start_loss())
        state = self._rounds(plan, public, start, PublicBroadcast(self, plan, public, training))
        alone = labels_only(self, plan, public, spent + state.steps // max(len(training), 1))
        evaluate(self, plan, {self.METHOD: ScoredModel(state.best)}, {"labels_only": ScoredModel(alone)})
        release(self, plan, state.best)

    def _rounds(self, plan: FederationPlan, public: PublicSet, start: Weights, sent: PublicBroadcast) -> TrainingState:
        """Rounds of the sites that have the public set."""
        total, light = self.settings.rounds, self.settings.light

        def request(plan: FederationPlan, spec: TrainingSpec, facts: RoundFacts, beside: Beside) -> UnlabelledRequest:
            del spec, beside
            return UnlabelledRequest(plan.common, facts, public.manifest, self.options)

        spec = TrainingSpec(
            self.METHOD,
            task=UNLABELLED,
            request=request,
            mean_of=self.MEAN_OF,
            validate=lambda weights: {"public": validate_weights(self, plan, public, weights)},
            average_rounds=self.settings.schedule.average_rounds,
            public_steps=self.public_passes() * (len(public.training) // light.batch_size + 1),
        )
        with self.stage("rounds"):
            state = resume_or_start(self, spec, start)
            since = state.round
            while state.round < total and not state.collapsed:
                state = train_round(self, plan, replace(spec, sites=sent.ready()), state)
                report(self, spec, state, total, since)
            end_rounds(self, plan, spec, state, self.options.select == "last")
        return state


def require_plain_steps(settings: Settings) -> None:
    """Refuse rules of the light network's steps, which the loop on two kinds of images does not have.

    Raises:
        ConfigError: a falling rate, a ramp or a clipped gradient.
    """
    light = settings.light
    plain = light.rate_schedule == "constant" and not light.ramp_steps and not light.clip_norm
    reason = "rate_schedule, ramp_steps and clip_norm are not for the semi-supervised loop"
    require(plain, "light", reason, "Leave them out; method.rate_factor is its learning rate")
