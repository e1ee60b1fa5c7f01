# SPDX-License-Identifier: Apache-2.0
"""SAM-Fed (arXiv 2511.14302): the whole workflow of the server."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dsfedmed.data.manifest import Manifest
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.methods.public_labels import NEEDED, require_plain_steps
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.scored_model import ScoredModel
from dsfedmed.federated.server.stages.broadcast import TeacherBroadcast, still_there, unlabelled_sites
from dsfedmed.federated.server.stages.check_sites import check_sites
from dsfedmed.federated.server.stages.evaluation import evaluate
from dsfedmed.federated.server.stages.fusion import Fusion, site_network_specs
from dsfedmed.federated.server.stages.public_set import (
    PublicSet,
    labels_only,
    load_public_set,
    rounds_with_teacher,
    start_global,
    teacher_kind,
    tune_teacher,
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
from dsfedmed.federated.wire.requests.semi_supervised import AgreeRequest, FuseRequest
from dsfedmed.federated.wire.specs import BundleSpec, RoundFacts
from dsfedmed.federated.wire.tasks import AGREE, FUSE
from dsfedmed.settings import Settings
from dsfedmed.training.semi_supervised.config import SamFedConfig


class SamFed(FederatedWorkflow):
    """Labels at the server only, unlabelled images at the sites, and SAM as the teacher of every pixel."""

    METHOD = "samfed"
    PUBLIC = True
    UPDATES = (AGREE,)

    @classmethod
    def stages(cls, settings: Settings) -> tuple[str, ...]:
        """Name the stages of a run in order."""
        del settings
        before = ("check sites", "public set", "public start", "tune teacher", "broadcast teacher", "rounds")
        return (*before, "compare labels only", "evaluate", "evaluate comparison", "release")

    def check_options(self) -> None:
        """Raise ``ConfigError`` naming the first option that is unknown or out of range."""
        SamFedConfig.from_dict(self.settings.method)
        require_plain_steps(self.settings)

    def work(self) -> None:
        """Every stage of the paper, then the network of the public labels alone, then the release."""
        config = SamFedConfig.from_dict(self.settings.method)
        asked = unlabelled_sites(self, config.label_site)
        plan = check_sites(self, NEEDED)
        training = still_there(self, asked)
        public = load_public_set(self, plan)
        start, spent = start_global(self, plan, public, config.public_epochs)
        teacher = tune_teacher(self, plan, public)
        own = site_network_specs(plan, config, asked)
        state = self._rounds(plan, public, start, TeacherBroadcast(self, plan, public, teacher, training), own)
        alone = labels_only(self, plan, public, spent + state.steps // max(len(training), 1))
        ours = ScoredModel(state.best, own=FUSE if own else None, site_networks=own)
        others = {"labels_only": ScoredModel(alone), "public_teacher": ScoredModel(teacher, teacher_kind(plan))}
        evaluate(self, plan, {"samfed": ours}, others)
        release(self, plan, state.best)

    def _rounds(
        self,
        plan: FederationPlan,
        public: PublicSet,
        start: Weights,
        sent: TeacherBroadcast,
        networks: dict[str, BundleSpec],
    ) -> TrainingState:
        """FedAvg of one network, or fusion of several, under the agreement of SAM and the local network."""
        config, total = SamFedConfig.from_dict(self.settings.method), self.settings.rounds
        light = self.settings.light
        passes = config.public_passes(light.epochs_per_round, bool(networks))
        spec = TrainingSpec(
            "samfed",
            task=FUSE if networks else AGREE,
            validate=lambda weights: {"public": validate_weights(self, plan, public, weights)},
            average_rounds=self.settings.schedule.average_rounds,
            public_steps=passes * (len(public.training) // light.batch_size + 1),
        )
        with self.stage("rounds"):
            state = resume_or_start(self, spec, start)
            fusion = Fusion(self, plan, public, config.condensation_epochs) if networks else None
            since = state.round
            while state.round < total and not state.collapsed:
                active = not config.teacher_gate or rounds_with_teacher(self, state)[-1]
                asked = RoundRequest(public.manifest, config, active, networks)
                spec = replace(spec, sites=sent.ready(), request=asked)
                state = fusion.round(spec, state) if fusion else train_round(self, plan, spec, state)
                report(self, spec, state, total, since)
            end_rounds(self, plan, spec, state, config.select == "last")
            if config.teacher_gate:
                self.record.put(rounds_with_teacher=sum(rounds_with_teacher(self, state)[:total]))
        return state


@dataclass(frozen=True)
class RoundRequest:
    """Makes a round's request.

    Attributes:
        public: the public set.
        config: the method's options.
        active: whether SAM's labels count in this round.
        networks: each site's own bundle; empty for one network at all sites.
    """

    public: Manifest
    config: SamFedConfig
    active: bool
    networks: dict[str, BundleSpec]

    def __call__(
        self, plan: FederationPlan, spec: TrainingSpec, facts: RoundFacts, beside: Beside
    ) -> AgreeRequest | FuseRequest:
        """Return the request: of one network for all sites, or of each site's own."""
        del spec, beside
        if self.networks:
            return FuseRequest(plan.common, facts, self.public, self.config, self.active, self.networks)
        return AgreeRequest(plan.common, facts, self.public, self.config, self.active)
