# SPDX-License-Identifier: Apache-2.0
"""Rounds of heterogeneous sites: every site has its own network, and answers to public images travel (RC and RF)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from dsfedmed.data.labels import to_channels
from dsfedmed.errors import ConfigError, PayloadError
from dsfedmed.evaluation.protocol import predict_probabilities
from dsfedmed.exchange.reference import Reference
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.public_set import PublicSet
from dsfedmed.federated.server.training_run import TrainingSpec, TrainingState, checkpoint
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.federated.wire.message import Message
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.seeds import derive_seed
from dsfedmed.training.distillation.soft_labels import decode_soft, encode_soft
from dsfedmed.training.optimizer_state import load_optimizer_state, optimizer_state_tensors
from dsfedmed.training.semi_supervised.condensation import PublicAnswers, condense
from dsfedmed.training.semi_supervised.config import SamFedConfig


def site_network_specs(plan: FederationPlan, config: SamFedConfig, sites: list[str]) -> dict[str, Any]:
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

    def round(self, arm: TrainingSpec, state: TrainingState) -> TrainingState:
        """One round: the sites learn from the server's answers (RF), the server from the best of theirs (RC)."""
        if arm.validate is None:
            raise ValueError("the sites have other networks: the server's is validated at the server")
        self.network.load_state_dict(state.weights, strict=False)
        if state.optimizer:
            load_optimizer_state(self.optimizer, state.optimizer, arm.name)
        own = predict_probabilities(self.network, self.images, self.plan.facts.num_classes, 2 * self._batch)
        replies, answers = self._ask(arm, state, encode_soft(own))
        state.validated(arm.validate(state.weights), Reference(dict(state.weights)))
        seed = derive_seed(self.plan.settings.seed, "condense", state.round)
        public = PublicAnswers(self.images, self.target, own, answers)
        condense(self.network, self.optimizer, public, self.epochs, self._batch, seed)
        state.optimizer = optimizer_state_tensors(self.optimizer)
        state.weights, state.round = copied_tensors(self.network), state.round + 1
        state.take_into_average(arm.average_from)
        state.steps += sum(int(reply.info["steps"]) for reply in replies.values())
        loss = {site: float(reply.info["loss"]) for site, reply in replies.items()}
        state.curve.append({"round": state.round, "local_steps": state.steps, "validation": {}, "loss": loss})
        checkpoint(self.run, arm, state)
        return state

    def _ask(self, arm: TrainingSpec, state: TrainingState, levels: Tensor) -> tuple[dict[str, Message], list[Tensor]]:
        """Send the server's answers, let the sites train, and return their replies and answers, checked."""
        received: dict[str, Tensor] = {}

        def take(site: str, reply: Message) -> None:
            if "levels" not in reply.tensors:
                raise PayloadError(site, "sent no answers", "Use the same version of dsfedmed everywhere")
            classes = self.plan.facts.num_classes
            received[site] = decode_soft(reply.tensors["levels"], len(self.images), classes, site)

        light = self.plan.settings.light
        info = {
            **self.plan.common,
            **arm.extra,
            "arm": arm.name,
            "round": state.round + 1,
            "epochs": light.epochs_per_round,
            "batch_size": light.batch_size,
            "keep_optimizer": light.keep_optimizer,
        }
        replies = self.run.ask("dsf_fuse", Message(info, {"levels": levels}), sites=arm.sites, on_reply=take)
        return replies, [received[site] for site in replies]

    @property
    def _batch(self) -> int:
        return self.plan.settings.light.batch_size
