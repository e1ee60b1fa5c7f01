# SPDX-License-Identifier: Apache-2.0
"""What a site's own images teach in FixMatch and Mean Teacher: a batch's rule (`OwnRule`), views and networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsfedmed.algorithms.unlabelled.confident_labels import confident_loss, is_sure
from dsfedmed.algorithms.unlabelled.mean_teacher import consistency, decay_after, follow
from dsfedmed.data.strong_augmentation import strong_view
from dsfedmed.devices import to_device
from dsfedmed.networks.trained_tensors import trained_tensors
from dsfedmed.training.pool import device_of
from dsfedmed.training.precision import autocast
from dsfedmed.training.task import Batch, TrainingTask


class Confident:
    """FixMatch's rule.

    Args:
        threshold: tau.
        weight: lambda_u.
    """

    def __init__(self, threshold: float, weight: float) -> None:
        self.threshold, self.weight, self.teach = threshold, weight, weight > 0
        self._shares: list[float] = []

    def loss(self, network: nn.Module, batch: Batch, seed: int, task: TrainingTask) -> Tensor:
        """Return lambda_u L of a batch."""
        probability = answers(network, batch, task)
        self._shares.append(float(is_sure(probability, self.threshold).mean()))
        return self.weight * confident_loss(strong_logits(network, batch, seed, task), probability, self.threshold)

    def stepped(self, network: nn.Module) -> None:
        """Do nothing: nothing follows a step."""

    @property
    def share(self) -> float:
        """The mean share of pixels that had a label of their own so far."""
        return sum(self._shares) / len(self._shares)


class MeanTeacher:
    """Mean Teacher's rule.

    Args:
        teacher: moves with every step of the network that is trained.
        decay: alpha.
        weight: w after its ramp-up.
        steps: that the teacher has followed so far.
    """

    def __init__(self, teacher: nn.Module, decay: float, weight: float, steps: int) -> None:
        self.teacher, self.decay, self.weight, self.steps, self.teach = teacher, decay, weight, steps, weight > 0

    def loss(self, network: nn.Module, batch: Batch, seed: int, task: TrainingTask) -> Tensor:
        """Return w L of a batch."""
        probability = answers(self.teacher, batch, task)
        return self.weight * consistency(strong_logits(network, batch, seed, task), probability)

    def stepped(self, network: nn.Module) -> None:
        """Let the teacher follow."""
        self.steps += 1
        follow(trained_tensors(self.teacher), trained_tensors(network), decay_after(self.steps, self.decay))


@torch.no_grad()
def answers(network: nn.Module, batch: Batch, task: TrainingTask) -> Tensor:
    """Return a network's probabilities of a batch's weak view, (N, K, S, S), in evaluation mode."""
    device, training = device_of(network), network.training
    network.eval()
    with autocast(device, task.precision):
        probability = torch.sigmoid(network(to_device(batch["image"], device)).float())
    network.train(training)
    return probability


def strong_logits(network: nn.Module, batch: Batch, seed: int, task: TrainingTask) -> Tensor:
    """Return a network's logits of a batch's strong view, (N, K, S, S), float32, with gradients."""
    device = device_of(network)
    strong = to_device(strong_view(batch["image"], seed), device)
    with autocast(device, task.precision):
        logits: Tensor = network(strong)
    return logits.float()
