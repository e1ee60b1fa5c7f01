# SPDX-License-Identifier: Apache-2.0
"""The server repairs each mean: the light network is trained on the sealed set after every round.

Ours. The paper distils at the server after the last round; averaged weights of sites that differ need it after each.
Known masks and, where they count, the adapted teacher's soft labels; nothing travels but the weights.
"""

from __future__ import annotations

import torch

from dsfedmed.algorithms.schedules import faded_steps
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.stages.head_start import synthetic_pairs
from dsfedmed.federated.server.stages.synthetic_set import SealedSet
from dsfedmed.federated.server.training_state import TrainingState
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.seeds import derive_seed
from dsfedmed.training.head_start import HeadStart, train_on_synthetic
from dsfedmed.training.optimizer_state import load_optimizer_state, optimizer_state_tensors
from dsfedmed.training.step_rules import StepRules
from dsfedmed.training.task import TrainingTask

NAME = "refit"


class Refit:
    """The server's repair of the mean; its optimiser lasts over the rounds, as part of the training's state.

    Args:
        run: the workflow.
        plan: the networks.
        sealed: the synthetic set.
        teacher: the adapted teacher's weights.
    """

    def __init__(self, run: FederatedWorkflow, plan: FederationPlan, sealed: SealedSet, teacher: Weights) -> None:
        self.run, self.plan, self.asked = run, plan, run.settings.refit
        bundle, light, facts = plan.light_bundle, run.settings.light, plan.facts
        self.network = plan.light_network().to(run.config.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=self.asked.learning_rate)
        weights = self.asked.supervised_weight, self.asked.kl_weight
        self.source = synthetic_pairs(run, plan, sealed, teacher, *weights)
        self.task = TrainingTask(
            facts.num_classes, facts.nested, bundle.loss(), bundle.augmentation(), light.batch_size, light.autocast,
            where=NAME,
        )  # fmt: skip

    def repair(self, state: TrainingState) -> bool:
        """Train the weights of ``state`` for the steps that are due; tell whether there were any.

        Done once after each round, also when the run was interrupted in between.
        """
        if state.round <= state.repaired or state.round < 1:
            return False
        state.repaired = state.round
        asked, total = self.asked, self.run.settings.rounds
        steps = faded_steps(asked.fade, asked.steps, state.round, total, state.idle, asked.patience)
        if not steps:
            return False
        self.network.load_state_dict(state.weights, strict=False)
        if state.optimizer:
            load_optimizer_state(self.optimizer, state.optimizer, NAME)
        rate = self.plan.step_rules(state.round - 1, total, state.undone).rate_factor
        pace = HeadStart(steps, asked.learning_rate, falls=False, rules=StepRules(rate, 0, asked.clip_norm))
        seed = derive_seed(self.run.settings.seed, NAME, state.round)
        train_on_synthetic(self.network, self.optimizer, self.source, self.task, pace, seed)
        state.optimizer = optimizer_state_tensors(self.optimizer)
        state.weights, state.steps = copied_tensors(self.network), state.steps + steps
        return True
