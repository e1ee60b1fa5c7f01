# SPDX-License-Identifier: Apache-2.0
"""The light network learns the synthetic set at the server: a head start before any site trains it, or a refit.

Ours, not the paper's, which distils after the last round. Every step is the synthetic step of `train_light`, with the
bundle's augmentation. In a head start the learning rate falls to zero along half a cosine, so that the sites receive a
network at rest; a refit after each mean keeps its rate, which falls from round to round.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import nn

from dsfedmed.algorithms.schedules import ramp, rate_over_rounds
from dsfedmed.options import require
from dsfedmed.seeds import derive_seed, global_draws
from dsfedmed.training.pool import device_of
from dsfedmed.training.precision import gradient_scaler
from dsfedmed.training.single_channel import fast_single_channel_convolutions
from dsfedmed.training.step_rules import AS_THEY_ARE, StepRules
from dsfedmed.training.steps import descend
from dsfedmed.training.synthetic_source import SyntheticSource, synthetic_batches, synthetic_loss
from dsfedmed.training.task import OnStep, TrainingTask


@dataclass(frozen=True)
class HeadStart:
    """How long the training on the set is, and how fast.

    Attributes:
        steps: gradient steps, at least 1.
        learning_rate: the optimiser's.
        falls: whether the rate falls to zero over these steps.
        rules: ramp and longest gradient; their rate factor is part of ``learning_rate`` here.
    """

    steps: int
    learning_rate: float
    falls: bool = True
    rules: StepRules = AS_THEY_ARE

    def __post_init__(self) -> None:
        """Raise ``ConfigError`` without steps."""
        require(self.steps > 0, "schedule.head_start_steps", f"{self.steps} is not above 0", "Give at least one")


def train_on_synthetic(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    source: SyntheticSource,
    task: TrainingTask,
    start: HeadStart,
    seed: int,
    on_step: OnStep | None = None,
) -> float:
    """Train ``network`` in place on synthetic pairs alone; return the seconds it took.

    Args:
        network: images (N, C, S, S) to logits (N, K, S, S).
        optimizer: over the network's parameters; its own rate is not used.
        source: the pairs, their soft labels and the weights of both; its batch size precedes the task's.
        task: classes, loss, augmentation and batches.
        start: steps and learning rate.
        seed: of order, augmentation and dropout.
        on_step: called after each step.

    Raises:
        DSFedMedError: the loss is not finite.
    """
    started = time.perf_counter()
    batches = synthetic_batches(source, start.steps, task, derive_seed(seed, "synthetic"))
    device = device_of(network)
    scaler = gradient_scaler(device, task.precision)
    network.train()
    with global_draws(derive_seed(seed, "dropout"), device), fast_single_channel_convolutions(network):
        for step in range(start.steps):
            for group in optimizer.param_groups:
                group["lr"] = _rate(start, step)
            value = synthetic_loss(network, next(batches), source, task)
            number = descend(value, optimizer, scaler, task.where, step, start.rules.clip_norm)
            if on_step is not None:
                on_step(step + 1, start.steps, number)
    return time.perf_counter() - started


def _rate(start: HeadStart, step: int) -> float:
    """Return the learning rate of ``step``, from 0."""
    fall = rate_over_rounds("cosine" if start.falls else "constant", step, start.steps)
    return start.learning_rate * start.rules.rate_factor * fall * ramp(step, start.rules.ramp_steps)
