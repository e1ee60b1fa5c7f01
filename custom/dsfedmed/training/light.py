# SPDX-License-Identifier: Apache-2.0
"""Train the light network at a site: its own images, and optionally the synthetic set beside them.

Source: DSFedMed, arXiv 2601.16073, local training; the paper does not say its loss. Released: one pass, BCE whose
positive pixels count twice, no augmentation, no clipping, no schedule (preset ``released``). Deviations: the bundles'
default loss is BCE plus Dice, and their default augmentation flips, turns and shifts (settings ``loss`` and
``augmentation`` of a bundle); the rules of `StepRules`, none by default; FedProx's term for that baseline only.
With a ``SyntheticSource`` (our extension, distillation at the sites) real and synthetic gradient steps alternate, real
first; every step counts, to let runs be compared at equal steps. With ``joint`` pairs every real step has a synthetic
batch beside its real one, so that it is one step and twice the images.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dsfedmed.algorithms.proximal import proximal_term
from dsfedmed.errors import DataError
from dsfedmed.options import require
from dsfedmed.seeds import derive_seed, global_draws
from dsfedmed.training.pool import device_of
from dsfedmed.training.precision import gradient_scaler
from dsfedmed.training.single_channel import fast_single_channel_convolutions
from dsfedmed.training.step_rules import AS_THEY_ARE, StepRules, paced
from dsfedmed.training.steps import descend, endless_batches, forward
from dsfedmed.training.synthetic_source import SyntheticSource, synthetic_batches, synthetic_loss
from dsfedmed.training.task import LabelledImages, OnStep, TrainingTask


@dataclass(frozen=True)
class LocalTraining:
    """How long one call trains, and what it adds to the loss on the real images.

    Attributes:
        epochs: passes over the real images; give this or ``steps``.
        steps: gradient steps in all, synthetic ones included.
        synthetic: pairs for the alternate steps; None for real images alone.
        joint: pairs of which every real step has a batch beside its real one, their weighted loss being added.
        proximal: FedProx's mu: mu / 2 |w - w_0|^2 is added to every step's loss, w_0 being the weights at the call.
        rules: learning rate and gradient of the steps.
    """

    epochs: int | None = None
    steps: int | None = None
    synthetic: SyntheticSource | None = None
    joint: SyntheticSource | None = None
    proximal: float = 0.0
    rules: StepRules = AS_THEY_ARE

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` unless exactly one of ``epochs`` and ``steps`` is given, and is above 0."""
        one = (self.epochs is None) != (self.steps is None)
        require(one, "light.epochs", "give epochs or steps", "Set one of the two")
        given = self.epochs if self.steps is None else self.steps
        require(given is not None and given > 0, "light.steps", f"{given} is not above 0", "Give at least one")

    def count(self, images: int, batch_size: int) -> tuple[int, int]:
        """Return (real steps, steps in all) over so many real images."""
        if self.steps is not None:
            return (self.steps if self.synthetic is None else math.ceil(self.steps / 2)), self.steps
        real = int(self.epochs or 0) * math.ceil(images / batch_size)
        return real, real if self.synthetic is None else 2 * real


@dataclass(frozen=True)
class TrainingSummary:
    """What a training call did.

    Attributes:
        mean_loss: mean loss of the real steps.
        mean_synthetic_loss: mean weighted loss of the synthetic steps; None without any.
        steps: gradient steps in all, real and synthetic.
        synthetic_steps: how many of them were synthetic.
        samples: real images seen.
        synthetic_samples: synthetic images seen.
        seconds: wall time.
    """

    mean_loss: float
    mean_synthetic_loss: float | None
    steps: int
    synthetic_steps: int
    samples: int
    synthetic_samples: int
    seconds: float


def train_light(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    real: LabelledImages,
    task: TrainingTask,
    training: LocalTraining,
    seed: int,
    on_step: OnStep | None = None,
) -> TrainingSummary:
    """Train ``network`` in place.

    Args:
        network: images (N, C, S, S) to logits (N, K, S, S).
        optimizer: over the network's parameters; its state is kept from call to call.
        real: the site's own images.
        task: what stays the same in every round.
        training: how long, and with what beside the real images.
        seed: of order, augmentation, dropout and the draw of synthetic images; give another one each round.
        on_step: called after each step.

    Raises:
        ConfigError: a batch size below 1.
        DataError: there are no images.
        DSFedMedError: the loss is not finite; the network keeps the weights of the step before.
    """
    real_steps, total = _count_steps(len(real.images), task, training)
    started = time.perf_counter()
    synthetic, joint = training.synthetic, training.joint
    beside = None if joint is None else synthetic_batches(joint, real_steps, task, derive_seed(seed, "joint"))
    sources = [endless_batches(real, None, task, derive_seed(seed, "real"))]
    if synthetic is not None and total > real_steps:
        sources.append(synthetic_batches(synthetic, total - real_steps, task, derive_seed(seed, "synthetic")))
    network.train()
    pull = _proximal_pull(network, training.proximal)
    losses: tuple[list[float], list[float]] = ([], [])
    samples = [0, 0]
    device = device_of(network)
    draws, scaler = global_draws(derive_seed(seed, "dropout"), device), gradient_scaler(device, task.precision)
    with draws, fast_single_channel_convolutions(network), paced(optimizer, training.rules) as rates:
        for step in range(total):
            rates.before(step)
            kind = step % len(sources)
            batch = next(sources[kind])
            if kind and synthetic is not None:
                value = synthetic_loss(network, batch, synthetic, task)
            else:
                value = task.loss(*forward(network, batch, task))
            number = pull(value)
            if not kind and joint is not None and beside is not None:
                more = next(beside)
                number = number + synthetic_loss(network, more, joint, task)
                samples[1] += len(more["image"])
            losses[kind].append(descend(number, optimizer, scaler, task.where, step, training.rules.clip_norm))
            samples[kind] += len(batch["image"])
            if on_step is not None:
                on_step(step + 1, total, losses[kind][-1])
    return TrainingSummary(
        mean_loss=_mean(losses[0]),
        mean_synthetic_loss=_mean(losses[1]) if losses[1] else None,
        steps=total,
        synthetic_steps=len(losses[1]),
        samples=samples[0],
        synthetic_samples=samples[1],
        seconds=time.perf_counter() - started,
    )


def _count_steps(images: int, task: TrainingTask, training: LocalTraining) -> tuple[int, int]:
    """Return (real steps, steps in all); refuse a call without images or batches."""
    require(task.batch_size > 0, "light.batch_size", f"{task.batch_size} is not above 0", "Give at least one")
    if images == 0:
        raise DataError(task.where, "there are no training images", "Fill the site's training part")
    return training.count(images, task.batch_size)


def _proximal_pull(network: nn.Module, mu: float) -> Callable[[Tensor], Tensor]:
    """Return what adds mu / 2 |w - w_0|^2 to a loss, w_0 being the weights now; without mu the loss stays as it is."""
    if not mu:
        return lambda value: value
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    anchor = [parameter.detach().clone() for parameter in trained]
    return lambda value: value + mu * proximal_term(trained, anchor)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
