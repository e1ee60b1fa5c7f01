# SPDX-License-Identifier: Apache-2.0
"""Rounds of heterogeneous sites: every site has its own network, and answers to public images travel (RC and RF)."""

from __future__ import annotations

from torch import Tensor

from dsfedmed.data.labels import to_channels
from dsfedmed.errors import ConfigError, PayloadError
from dsfedmed.evaluation.protocol import predict_probabilities
from dsfedmed.exchange.reference import Reference
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.public_set import PublicSet
from dsfedmed.federated.server.training_run import NOTHING, TrainingSpec, checkpoint, reply_check
from dsfedmed.federated.server.training_state import TrainingState
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.codec import SAME_VERSION
from dsfedmed.federated.wire.message import Envelope
from dsfedmed.federated.wire.requests.semi_supervised import AgreeReply
from dsfedmed.federated.wire.specs import BundleSpec
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.seeds import derive_seed
from dsfedmed.training.distillation.soft_labels import decode_soft, encode_soft
from dsfedmed.training.optimizer_state import load_optimizer_state, optimizer_state_tensors
from dsfedmed.training.semi_supervised.condensation import PublicAnswers, condense
from dsfedmed.training.semi_supervised.config import SamFedConfig


def site_network_specs(plan: FederationPlan, config: SamFedConfig, sites: list[str]) -> dict[str, BundleSpec]:
    """Return each site's bundle as requests name it; empty where all sites have the one network.

    Raises:
        ConfigError: a bundle is named for a site that does not train, or is not there.
    """
    strangers = sorted(set(config.site_bundles) - set(sites))
    if strangers:
        reason = f"names {', '.join(strangers)}, which does not train"
        raise ConfigError("method.site_bundles", reason, f"Sites that train: {', '.join(sites)}")
    if not config.site_bundles:
        return {}
    return {site: plan.spec_of(config.site_bundles.get(site, plan.settings.light.bundle)) for site in sites}


class Fusion:
    """The server's side of the rounds: its network, its optimiser, and RC.

    Args:
        run: the workflow.
        plan: the networks.
        public: the public set.
        epochs: passes of RC over it in a round.
    """

    def __init__(self, run: FederatedWorkflow, plan: FederationPlan, public: PublicSet, epochs: int) -> None:
        self.run, self.plan, self.epochs = run, plan, epochs
        self.network = plan.light_network().to(run.config.device)
        self.optimizer = plan.light_bundle.optimizer(self.network.parameters())
        self.images = public.training.images()
        self.target = to_channels(public.training.labels(), plan.facts.num_classes, plan.facts.nested)

    def round(self, spec: TrainingSpec, state: TrainingState) -> TrainingState:
        """One round: the sites learn from the server's answers (RF), the server from the best of theirs (RC)."""
        if spec.validate is None:
            raise ValueError("the sites have other networks: the server's is validated at the server")
        self.network.load_state_dict(state.weights, strict=False)
        if state.optimizer:
            load_optimizer_state(self.optimizer, state.optimizer, spec.name)
        own = predict_probabilities(self.network, self.images, self.plan.facts.num_classes, 2 * self._batch)
        replies, answers = self._ask(spec, state, encode_soft(own))
        state.validated(spec.validate(state.weights), Reference(dict(state.weights)))
        seed = derive_seed(self.plan.settings.seed, "condense", state.round)
        public = PublicAnswers(self.images, self.target, own, answers)
        condense(self.network, self.optimizer, public, self.epochs, self._batch, seed)
        state.optimizer = optimizer_state_tensors(self.optimizer)
        state.weights, state.round = copied_tensors(self.network), state.round + 1
        state.take_into_average(self.run.settings.rounds, spec.average_rounds)
        state.add_steps(replies)
        checkpoint(self.run, spec, state)
        return state

    def _ask(
        self, spec: TrainingSpec, state: TrainingState, levels: Tensor
    ) -> tuple[dict[str, AgreeReply], list[Tensor]]:
        """Send the server's answers, let the sites train, and return their replies and answers, checked."""
        received: dict[str, Tensor] = {}
        facts = self.plan.round_facts(spec.name, state.round + 1)
        check = reply_check(self.plan, spec, facts)

        def take(site: str, reply: Envelope[AgreeReply]) -> None:
            check(site, reply.body)
            if set(reply.tensors) != {"levels"}:
                raise PayloadError(site, "sent no answers", SAME_VERSION)
            answers = reply.tensors["levels"]
            if answers.shape != levels.shape:
                raise PayloadError(site, f"sent answers of another size ({tuple(answers.shape)})", SAME_VERSION)
            received[site] = decode_soft(answers, len(self.images), self.plan.facts.num_classes, site)

        request = Envelope(spec.request(self.plan, spec, facts, NOTHING), {"levels": levels})
        replies = self.run.ask(spec.task, request, sites=spec.sites, on_reply=take)
        return {site: reply.body for site, reply in replies.items()}, [received[site] for site in replies]

    @property
    def _batch(self) -> int:
        return self.plan.settings.light.batch_size
