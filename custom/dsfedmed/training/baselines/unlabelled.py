# SPDX-License-Identifier: Apache-2.0
"""What own images teach in methods of others: rules of a batch (`OwnRule`), with its views and networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dsfedmed.algorithms.unlabelled.confident_labels import confident_loss, is_sure
from dsfedmed.algorithms.unlabelled.mean_teacher import consistency, decay_after, follow
from dsfedmed.algorithms.unlabelled.self_assessment import assessed_loss, chosen_labels, self_labelled_loss
from dsfedmed.data.labels import to_channels
from dsfedmed.data.strong_augmentation import strong_view
from dsfedmed.devices import to_device
from dsfedmed.errors import ConfigError
from dsfedmed.networks.self_assessed import SelfAssessed
from dsfedmed.networks.trained_tensors import trained_tensors
from dsfedmed.training.pool import device_of
from dsfedmed.training.precision import autocast
from dsfedmed.training.semi_supervised.both_sources import OwnRule
from dsfedmed.training.task import Batch, TrainingTask


class Confident(OwnRule):
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

    @property
    def share(self) -> float:
        """The mean share of pixels that had a label of their own so far."""
        return sum(self._shares) / len(self._shares)


class MeanTeacher(OwnRule):
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


class SelfLabelled(OwnRule):
    """LSSL's rule, of a network with a confidence for every mask; the public set teaches both.

    Args:
        flip: confidence below which a label is turned round.
        gate: mean confidence above which an image counts.
        weight: of the own images' loss.
    """

    def __init__(self, flip: float, gate: float, weight: float) -> None:
        self.flip, self.gate, self.weight = flip, gate, weight
        self._counts: list[Tensor] = []

    def loss(self, network: nn.Module, batch: Batch, seed: int, task: TrainingTask) -> Tensor:
        """Return the weighted L_u of a batch; its labels come from the passes that learn."""
        views = [assessed(network, image, task) for image in (batch["image"], strong_view(batch["image"], seed))]
        masks, confidences = [list(each) for each in zip(*views, strict=True)]
        label, sure = chosen_labels(masks, confidences, self.flip)
        value, counts = self_labelled_loss(masks, label, sure, self.gate)
        self._counts.append(counts.cpu())
        self.teach = self.weight > 0 and bool(counts.any())
        return self.weight * value

    def public_loss(self, network: nn.Module, batch: Batch, task: TrainingTask) -> Tensor:
        """Return L of a batch of the public set."""
        return assessed_batch_loss(network, batch, task)

    @property
    def share(self) -> float:
        """The share of images that counted so far."""
        return float(torch.cat(self._counts).float().mean())


def assessed_batch_loss(network: nn.Module, batch: Batch, task: TrainingTask) -> Tensor:
    """Return L of a network and a batch with labels, a scalar."""
    masks, confidences = assessed(network, batch["image"], task)
    target = to_device(to_channels(batch["label"], task.num_classes, task.nested), masks.device)
    return assessed_loss(masks, confidences, target)


def assessed(network: nn.Module, images: Tensor, task: TrainingTask) -> tuple[Tensor, Tensor]:
    """Return mask and confidence logits of images, both (N, K, S, S), float32, with gradients.

    Raises:
        ConfigError: the network has no confidences.
    """
    if not isinstance(network, SelfAssessed):
        reason = f"the light network ({type(network).__name__}) has no confidences"
        raise ConfigError(task.where, reason, "Choose light.bundle: light_assessed_unet_segmentation")
    device = device_of(network)
    with autocast(device, task.precision):
        masks, confidences = network.assessed(to_device(images, device))
    return masks.float(), confidences.float()


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
