# SPDX-License-Identifier: Apache-2.0
"""The light network trained at the server, on images that the server has: the upper bound, and SAM-Fed's public set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor, nn

from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.networks.trained_tensors import copied_tensors
from dsfedmed.seeds import derive_seed
from dsfedmed.training.light import LocalTraining, train_light
from dsfedmed.training.task import LabelledImages, TrainingTask


@dataclass(frozen=True)
class Trained:
    """A light network of its best epoch.

    Attributes:
        weights: of that epoch.
        epoch: from 1.
        dice: its validation Dice, 0 to 1.
        best_steps: gradient steps until then.
        epochs: passes in all.
        steps: gradient steps in all.
    """

    weights: Weights
    epoch: int
    dice: float
    best_steps: int
    epochs: int
    steps: int

    def record(self, run: FederatedWorkflow, method: str) -> None:
        """Write down which epoch was chosen, and what was spent."""
        chosen = {"round": self.epoch, "local_steps": self.best_steps, "validation_dice": self.dice}
        run.record.add("selected", **{method: chosen})
        run.record.add("budgets", **{method: {"rounds": self.epochs, "local_steps": self.steps}})


def train_at_server(
    run: FederatedWorkflow,
    plan: FederationPlan,
    name: str,
    images: Tensor,
    labels: Tensor,
    validate: Callable[[nn.Module], float],
    epochs: int,
) -> Trained:
    """Train the light network from the run's start weights; the best epoch by ``validate`` is kept.

    The rules of the steps are those of a federation of as many rounds.

    Args:
        run: the workflow.
        plan: the networks.
        name: of the seeds and of the progress lines.
        images: (N, C, S, S), float32 in [0, 1].
        labels: (N, 1, S, S), uint8.
        validate: returns the mean Dice of a network, 0 to 1.
        epochs: passes.
    """
    bundle, light = plan.light_bundle, plan.settings.light
    network = plan.light_network().to(run.config.device)
    optimizer, real = bundle.optimizer(network.parameters()), LabelledImages(images, labels)
    task = TrainingTask(
        plan.facts.num_classes, plan.facts.nested, bundle.loss(), bundle.augmentation(), light.batch_size,
        light.autocast,
    )  # fmt: skip
    best, chosen, spent, weights, steps = -1.0, 0, 0, copied_tensors(network), 0
    for epoch in range(1, epochs + 1):
        seed = derive_seed(plan.settings.seed, name, epoch)
        rules = plan.step_rules(epoch - 1, epochs)
        rules = rules if epoch == 1 else replace(rules, ramp_steps=0)  # the optimiser goes on from pass to pass
        training = LocalTraining(epochs=1, rules=rules)
        steps += train_light(network, optimizer, real, task, training, seed).steps
        dice = validate(network)
        run.progress.step(epoch, epochs, f"{name}  validation Dice {dice * 100:.1f}")
        if dice > best:
            best, chosen, spent, weights = dice, epoch, steps, copied_tensors(network)
    return Trained(weights, chosen, best, spent, epochs, steps)
