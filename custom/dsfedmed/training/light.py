# SPDX-License-Identifier: Apache-2.0
"""Train the light network at a site: its own images, and optionally the synthetic set beside them.

Source: DSFedMed, arXiv 2601.16073, local training (released: one pass, BCE). Plain: no clipping, no schedule; FedProx's
proximal term for that baseline only. With a ``SyntheticSource`` (our extension, distillation at the sites) real and
synthetic gradient steps alternate, real first; every step counts, so that runs can be compared at equal steps. The
synthetic loss is

    supervised_weight * loss(z, y) + kl_weight * pixel mean of D(p_T, sigmoid(z))

with p_T the teacher's soft labels and D the forward Bernoulli KL(p_T||p_S) or the symmetric one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dsfedmed.algorithms.proximal import proximal_term
from dsfedmed.algorithms.soft_divergence import soft_kl
from dsfedmed.data.batches import augmented_batches
from dsfedmed.data.labels import to_channels
from dsfedmed.devices import to_device
from dsfedmed.errors import DataError, DSFedMedError
from dsfedmed.options import require
from dsfedmed.seeds import derive_seed, generator, global_draws
from dsfedmed.training.pool import at_size, device_of, unit_images
from dsfedmed.training.precision import Autocast, autocast, gradient_scaler, gradient_step
from dsfedmed.training.single_channel import fast_single_channel_convolutions

Batch = dict[str, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class SyntheticSource:
    """Synthetic pairs with the teacher's soft labels, and how much they count.

    Attributes:
        images: (N, C, S, S), float32 in [0, 1] or uint8.
        label_maps: (N, 1, S, S), uint8.
        soft: teacher probabilities (N, K, h, w), float in [0, 1] or uint8 levels (p = level / 255); None for none.
        supervised_weight: factor of the loss on the synthetic masks.
        kl_weight: factor of the pixel-mean divergence from the soft labels.
        divergence: "forward" KL(teacher||light), or "symmetric".
        batch_size: synthetic images a step; None for that of the real images.
    """

    images: Tensor
    label_maps: Tensor
    soft: Tensor | None = None
    supervised_weight: float = 0.25
    kl_weight: float = 2.5
    divergence: Literal["forward", "symmetric"] = "forward"
    batch_size: int | None = None

    def __post_init__(self) -> None:
        """Raise ``DataError`` unless images, label maps and soft labels pair up."""
        count = len(self.images)
        paired = count > 0 and len(self.label_maps) == count and (self.soft is None or len(self.soft) == count)
        if not paired:
            soft = None if self.soft is None else len(self.soft)
            reason = f"{count} images, {len(self.label_maps)} label maps and {soft} soft labels"
            raise DataError("synthetic source", reason, "Give one label map and one soft label for each image")


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
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    label_maps: Tensor,
    num_classes: int,
    nested: bool,
    augmentation: Any | None,
    batch_size: int,
    seed: int,
    epochs: int | None = None,
    steps: int | None = None,
    synthetic: SyntheticSource | None = None,
    on_step: Callable[[int, int, float], None] | None = None,
    where: str = "light network",
    precision: Autocast = "off",
    workers: int = 0,
    proximal: float = 0.0,
) -> TrainingSummary:
    """Train ``network`` in place.

    Args:
        network: images (N, C, S, S) to logits (N, K, S, S).
        loss: of (logits, mask channels), such as the bundle's.
        optimizer: over the network's parameters; its state goes on from call to call.
        images: real images (N, C, S, S), float32 in [0, 1].
        label_maps: (N, 1, S, S), uint8.
        num_classes: K.
        nested: how label maps turn into channels.
        augmentation: MONAI dict transform over "image", "label" and "soft", or None.
        batch_size: real images a step.
        seed: of order, augmentation, dropout and the draw of synthetic images; give another one each round.
        epochs: passes over the real images; give this or ``steps``.
        steps: gradient steps in all, synthetic ones included.
        synthetic: pairs for the alternate steps.
        on_step: called with (steps done, steps in all, loss).
        where: the site, for the error.
        precision: number format of the forward pass; weights, loss and update stay float32. On CPUs with AVX-512 BF16
            bfloat16 makes TinySAM two to four times faster and a small U-Net a quarter; without, it is slower. A
            float16 step whose gradients overflow is left out, and counted.
        workers: processes that augment ahead, see `augmented_batches`; results do not depend on it.
        proximal: FedProx's mu: mu / 2 |w - w_0|^2 is added to every step's loss, w_0 being the weights at the call.

    Raises:
        ConfigError: both or neither of ``epochs`` and ``steps``.
        DSFedMedError: the loss is not finite; the network keeps the weights of the step before.
    """
    real_steps, total = _count_steps(len(images), batch_size, epochs, steps, synthetic is not None)
    started = time.perf_counter()
    real = endless_batches(images, label_maps, None, augmentation, batch_size, derive_seed(seed, "real"), workers)
    sources = [real]
    if synthetic is not None and total > real_steps:
        drawn = derive_seed(seed, "synthetic")
        sources.append(synthetic_batches(synthetic, total - real_steps, augmentation, batch_size, drawn, workers))
    network.train()
    pull = _proximal_pull(network, proximal)
    losses: tuple[list[float], list[float]] = ([], [])
    samples = [0, 0]
    device = device_of(network)
    draws, scaler = global_draws(derive_seed(seed, "dropout"), device), gradient_scaler(device, precision)
    with draws, fast_single_channel_convolutions(network):
        for step in range(total):
            kind = step % len(sources)
            batch = next(sources[kind])
            value = batch_loss(network, batch, num_classes, nested, loss, synthetic if kind else None, precision)
            losses[kind].append(descend(pull(value), optimizer, scaler, where, step))
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


def _proximal_pull(network: nn.Module, mu: float) -> Callable[[Tensor], Tensor]:
    """Return what adds mu / 2 |w - w_0|^2 to a loss, w_0 being the weights now; without mu the loss stays as it is."""
    if not mu:
        return lambda value: value
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    anchor = [parameter.detach().clone() for parameter in trained]
    return lambda value: value + mu * proximal_term(trained, anchor)


def _count_steps(
    count: int, batch_size: int, epochs: int | None, steps: int | None, alternate: bool
) -> tuple[int, int]:
    """Return (real steps, steps in all)."""
    require((epochs is None) != (steps is None), "light.epochs", "give epochs or steps", "Set one of the two")
    given = epochs if steps is None else steps
    require(given is not None and given > 0, "light.steps", f"{given} is not above 0", "Give at least one")
    require(batch_size > 0, "light.batch_size", f"{batch_size} is not above 0", "Give at least one")
    if count == 0:
        raise DataError("light network", "there are no training images", "Fill the site's training part")
    if steps is not None:
        return (math.ceil(steps / 2) if alternate else steps), steps
    real = int(epochs or 0) * math.ceil(count / batch_size)
    return real, 2 * real if alternate else real


def endless_batches(
    images: Tensor,
    labels: Tensor,
    soft: Tensor | None,
    augmentation: Any | None,
    batch_size: int,
    seed: int,
    workers: int = 0,
) -> Iterator[Batch]:
    """Yield batches epoch after epoch, each epoch with its own seed."""
    epoch = 0
    while True:
        drawn = derive_seed(seed, epoch)
        yield from augmented_batches(images, labels, augmentation, batch_size, drawn, extra=soft, workers=workers)
        epoch += 1


def synthetic_batches(
    source: SyntheticSource, steps: int, augmentation: Any | None, batch_size: int, seed: int, workers: int
) -> Iterator[Batch]:
    """Yield batches of a seeded draw from the source; only what is drawn is turned into floats and resampled."""
    size = source.batch_size or batch_size
    needed = min(steps * size, len(source.images))
    drawn = torch.randperm(len(source.images), generator=generator(seed))[:needed]
    images, labels = unit_images(source.images[drawn]), source.label_maps[drawn]
    soft = None
    if source.soft is not None:
        soft = at_size(unit_images(source.soft[drawn]), images.shape[-2:])
    return endless_batches(images, labels, soft, augmentation, size, seed, workers)


def batch_loss(
    network: nn.Module,
    batch: Batch,
    num_classes: int,
    nested: bool,
    loss: Loss,
    source: SyntheticSource | None,
    precision: Autocast,
) -> Tensor:
    """Return the loss of a real batch, or with ``source`` the weighted loss of a synthetic one."""
    device = device_of(network)
    target = to_device(to_channels(batch["label"], num_classes, nested), device)
    with autocast(device, precision):
        logits = network(to_device(batch["image"], device))
    logits = logits.float()
    value = loss(logits, target)
    if source is None:
        return value
    value = source.supervised_weight * value
    if "soft" in batch and source.kl_weight > 0:
        divergence = soft_kl(to_device(batch["soft"], device), logits, symmetric=source.divergence == "symmetric")
        value = value + source.kl_weight * divergence.mean()
    return value


def descend(
    value: Tensor, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, where: str, step: int
) -> float:
    """Take one gradient step and return the loss; refuse a loss that is not finite before it reaches the weights."""
    number = float(value.detach())
    if not math.isfinite(number):
        fix = "Lower the learning rate, or run the site check on its images"
        raise DSFedMedError(where, f"the loss is {number} at step {step + 1}", fix)
    gradient_step(value, optimizer, scaler)
    return number


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
