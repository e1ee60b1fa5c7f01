# SPDX-License-Identifier: Apache-2.0
"""A head start: the light network learns the synthetic set at the server before any site trains it.

Ours, not the paper's, which distils after the last round. Every step is the synthetic step of `train_light`,

    supervised_weight * loss(z, y) + kl_weight * pixel mean of D(p_T, sigmoid(z)),

with the bundle's augmentation; the learning rate falls to zero along half a cosine, so that the sites take over a
network at rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from dsfedmed.options import require
from dsfedmed.seeds import derive_seed, global_draws
from dsfedmed.training.light import Loss, SyntheticSource, batch_loss, descend, synthetic_batches
from dsfedmed.training.pool import device_of
from dsfedmed.training.precision import Autocast, gradient_scaler
from dsfedmed.training.single_channel import fast_single_channel_convolutions


def train_on_synthetic(
    network: nn.Module,
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    source: SyntheticSource,
    num_classes: int,
    nested: bool,
    augmentation: Any | None,
    batch_size: int,
    seed: int,
    steps: int,
    learning_rate: float,
    on_step: Callable[[int, int, float], None] | None = None,
    precision: Autocast = "off",
    workers: int = 0,
) -> float:
    """Train ``network`` in place on synthetic pairs alone; return the seconds it took.

    Args:
        network: images (N, C, S, S) to logits (N, K, S, S).
        loss: of (logits, mask channels), such as the bundle's.
        optimizer: over the network's parameters; its own rate is not used.
        source: the pairs, their soft labels and the weights of both.
        num_classes: K.
        nested: how label maps turn into channels.
        augmentation: MONAI dict transform over "image", "label" and "soft", or None.
        batch_size: images a step, where the source names none.
        seed: of order, augmentation and dropout.
        steps: gradient steps.
        learning_rate: at the first step.
        on_step: called with (steps done, steps in all, loss).
        precision: number format of the forward pass.
        workers: processes that augment ahead.

    Raises:
        ConfigError: no steps.
        DSFedMedError: the loss is not finite.
    """
    require(steps > 0, "schedule.head_start_steps", f"{steps} is not above 0", "Give at least one")
    started = time.perf_counter()
    drawn = derive_seed(seed, "synthetic")
    batches = synthetic_batches(source, steps, augmentation, batch_size, drawn, workers)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    device = device_of(network)
    scaler = gradient_scaler(device, precision)
    network.train()
    with global_draws(derive_seed(seed, "dropout"), device), fast_single_channel_convolutions(network):
        for step in range(steps):
            value = batch_loss(network, next(batches), num_classes, nested, loss, source, precision)
            number = descend(value, optimizer, scaler, "head start", step)
            decay.step()
            if on_step is not None:
                on_step(step + 1, steps, number)
    return time.perf_counter() - started
