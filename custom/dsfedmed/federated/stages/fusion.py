# SPDX-License-Identifier: Apache-2.0
"""Rounds of heterogeneous sites: every site has its own network, and answers to public images travel (RC and RF)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dsfedmed.algorithms.regularity import GATE, best_of, image_accuracy, regularity_kl, structure_loss
from dsfedmed.algorithms.soft_divergence import HALF_STEP
from dsfedmed.data.labels import to_channels
from dsfedmed.errors import ConfigError, PayloadError
from dsfedmed.exchange.reference import Reference
from dsfedmed.federated.arm import Arm, ArmState, save_arm
from dsfedmed.federated.messages import Message
from dsfedmed.federated.plan import Plan
from dsfedmed.federated.site_tasks.agreement import public_answers
from dsfedmed.federated.site_tasks.networks import copied_tensors
from dsfedmed.federated.stages.public_set import PublicSet
from dsfedmed.federated.workflow import FederatedWorkflow
from dsfedmed.seeds import derive_seed, generator
from dsfedmed.training.optimizer_state import load_optimizer_state, optimizer_state_tensors
from dsfedmed.training.pool import at_size
from dsfedmed.training.samfed import SamFedConfig
from dsfedmed.training.soft_labels import decode_soft, encode_soft

STATE = "condensation"
NOISE, LIMIT = 0.1, 0.2


def own_specs(plan: Plan, config: SamFedConfig, sites: list[str]) -> dict[str, Any]:
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
        flow: the workflow.
        plan: the networks.
        arm: of the rounds.
        public: the public set.
        epochs: passes of RC over it in a round.
    """

    def __init__(self, flow: FederatedWorkflow, plan: Plan, arm: Arm, public: PublicSet, epochs: int) -> None:
        self.flow, self.plan, self.arm, self.epochs = flow, plan, arm, epochs
        self.network = plan.light_network().to(flow.config.device)
        self.optimizer = plan.light_bundle.optimizer(self.network.parameters())
        if flow.store.has(STATE):
            load_optimizer_state(self.optimizer, flow.store.get(STATE).tensors, STATE)
        self.images = public.training.images()
        self.target = to_channels(public.training.labels(), plan.facts.num_classes, plan.facts.nested)

    def round(self, state: ArmState, sites: Sequence[str] | None) -> ArmState:
        """One round: the sites learn from the server's answers (RF), the server from the best of theirs (RC)."""
        self.network.load_state_dict(state.weights, strict=False)
        replies, answers = self._ask(state, sites)
        dice = self.arm.validate(state.weights) if self.arm.validate else {}
        state.validated(dice, Reference(dict(state.weights)))
        self._condense(answers, state.round)
        state.weights, state.round = copied_tensors(self.network), state.round + 1
        state.steps += sum(int(reply.info["steps"]) for reply in replies.values())
        loss = {site: float(reply.info["loss"]) for site, reply in replies.items()}
        state.curve.append({"round": state.round, "local_steps": state.steps, "validation": {}, "loss": loss})
        self.flow.store.put(STATE, {}, optimizer_state_tensors(self.optimizer))
        save_arm(self.flow, self.arm, state)
        return state

    def _condense(self, answers: list[Tensor], number: int) -> None:
        """RC: train on the public set, and towards the most accurate site's answer of each image."""
        best, accuracy = best_of([at_size(answer, self.target.shape[-2:]) for answer in answers], self.target)
        advice = torch.logit(best.clamp(HALF_STEP, 1 - HALF_STEP))
        mine = image_accuracy(public_answers(self.network, self.images, self._batch), self.target)
        gate = ((accuracy > mine) & (accuracy > GATE)).float()
        random = generator(derive_seed(self.plan.settings.seed, "condense", number))
        device = self.flow.config.device
        self.network.train()
        for _ in range(self.epochs):
            for batch in torch.randperm(len(self.images), generator=random).split(self._batch):
                noise = (NOISE * torch.randn(self.images[batch].shape, generator=random)).clamp(-LIMIT, LIMIT)
                logits = self.network((self.images[batch] + noise).to(device))
                value = structure_loss(logits, self.target[batch].to(device))
                value = value + regularity_kl(advice[batch].to(device), logits, gate[batch].to(device))
                self.optimizer.zero_grad()
                value.backward()
                self.optimizer.step()

    def _ask(self, state: ArmState, sites: Sequence[str] | None) -> tuple[dict[str, Message], list[Tensor]]:
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
            **self.arm.extra,
            "arm": self.arm.name,
            "round": state.round + 1,
            "epochs": light.epochs_per_round,
            "batch_size": light.batch_size,
            "keep_optimizer": light.keep_optimizer,
        }
        levels = encode_soft(public_answers(self.network, self.images, self._batch))
        replies = self.flow.ask("dsf_fuse", Message(info, {"levels": levels}), sites=sites, on_reply=take)
        return replies, [received[site] for site in replies]

    @property
    def _batch(self) -> int:
        return self.plan.settings.light.batch_size
