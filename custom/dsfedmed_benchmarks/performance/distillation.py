# SPDX-License-Identifier: Apache-2.0
"""Mutual distillation over 20 epochs: the authors' loop against ours, with the same networks and images.

Released (`authors_loop`): every epoch runs every sample through the frozen encoder and backward through decoder and
light network. Ours (`dsfedmed.training.distillation.mutual`): the encoder runs once, scoring needs no gradients, and
only the selected half is run with gradients. Either is measured in float32 and in bfloat16: the table separates what
the loop gains from what the number format does. Weights and images are random: they cost what real ones cost.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from dsfedmed.algorithms.distillation import DistillationConfig
from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.devices import on_device
from dsfedmed.networks.promptless_sam import PromptlessSam, build_promptless_sam
from dsfedmed.seeds import derive_seed, generator
from dsfedmed.training.distillation.config import ServerDistillationConfig
from dsfedmed.training.distillation.embeddings import open_embeddings
from dsfedmed.training.distillation.mutual import MutualDistiller
from dsfedmed.training.pool import TensorPool
from dsfedmed.training.precision import Autocast
from dsfedmed_benchmarks.measurement.authors_loop import AuthorsLoop
from dsfedmed_benchmarks.measurement.clock import Spent, timed
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment

COLUMNS = ("way", "once (s)", "an epoch (s)", "all epochs (s)", "ms per sample and epoch", "times as fast", "wall (s)")


@dataclass(frozen=True)
class Scale:
    """Networks and pool of one scale.

    Attributes:
        teacher: a key of `dsfedmed.networks.promptless_sam.variants.VARIANTS`.
        light: folder name of the light network's bundle.
        image_size: side of the images, in pixels.
        channels: of the images.
        samples: pool size measured.
        batch_size: samples a gradient step.
        score_batch_size: samples a scoring step.
        epochs_measured: epochs run; the others are reckoned from their mean.
    """

    teacher: str
    light: str
    image_size: int
    channels: int
    samples: int
    batch_size: int
    score_batch_size: int
    epochs_measured: int


SCALES = {
    "paper": Scale("vit_b", "light_tinysam_segmentation", 1024, 3, 4, 4, 4, 1),
    "cpu": Scale("small", "light_unet_segmentation", 64, 1, 1080, 8, 32, 3),
    "tiny": Scale("tiny", "light_unet_segmentation", 32, 1, 8, 4, 8, 2),
}


@dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
        scale: "paper" (SAM ViT-B and TinySAM at 1024 px), "cpu" (the CPU preset, 1,080 samples) or "tiny" (tests).
        epochs: of the distillation.
        epochs_measured: epochs really run, the rest being reckoned from their mean; 0 for the scale's own number.
        samples: size of the pool; 0 for the scale's own.
        device: torch device.
        bundles: folder of the light networks' bundles.
        seed: of weights, images and order.
    """

    scale: Literal["paper", "cpu", "tiny"] = "cpu"
    epochs: int = 20
    epochs_measured: int = 0
    samples: int = 0
    device: str = "cpu"
    bundles: Path = Path("bundles")
    seed: int = 0


@dataclass(frozen=True)
class Way:
    """One way of working: ours or the released one, and the number format."""

    name: str
    ours: bool
    precision: Autocast
    channels_last: bool = False


WAYS = (
    Way("released, float32", False, "off"),
    Way("released, bfloat16", False, "bfloat16"),
    Way("ours, float32", True, "off"),
    Way("ours, bfloat16", True, "bfloat16"),
    Way("ours, bfloat16, channels last", True, "bfloat16", channels_last=True),
)


@dataclass(frozen=True)
class Cost:
    """What a way costs: once, and in an epoch (mean over those measured)."""

    once: Spent
    epoch: Spent

    def total(self, epochs: int) -> Spent:
        """Return the cost of a whole distillation."""
        return self.once + self.epoch * epochs


def run(options: Options) -> Benchmark:
    """Measure every way on the same networks and pool; ratios are against the first, the authors' loop as released."""
    scale, measured = SCALES[options.scale], _measured(options)
    pool = random_pool(options.samples or scale.samples, scale.image_size, scale.channels, options.seed)
    costs = {way: measure(way, options, pool, measured) for way in WAYS}
    opponent = costs[WAYS[0]].total(options.epochs).seconds
    rows = [_row(way, cost, options.epochs, len(pool), opponent) for way, cost in costs.items()]
    clock = "on the wall" if torch.device(options.device).type == "cuda" else "of the CPU (all threads)"
    notes = (
        f"{len(pool)} samples of {scale.image_size} px, teacher {scale.teacher}, light network {scale.light}, "
        f"batches of {min(scale.batch_size, len(pool))}; ours selects one half of the pool by learnability.",
        f"{measured} of {options.epochs} epochs were measured, after one that is not counted; "
        "all epochs = once + epochs x mean epoch.",
        f"Seconds are {clock}, the last column is the same on the wall; random weights and images.",
    )
    title = f"Mutual distillation, {options.epochs} epochs, scale {options.scale}"
    return Benchmark(f"distillation-{options.scale}", title, COLUMNS, rows, notes, environment(options.device))


def measure(way: Way, options: Options, pool: TensorPool, epochs: int) -> Cost:
    """Run ``epochs`` epochs of one way from the same start weights and return what they cost."""
    scale, device = SCALES[options.scale], torch.device(options.device)
    teacher = on_device(build_promptless_sam(scale.teacher, scale.image_size, 1, seed=options.seed), device)
    light = on_device(light_network(options.bundles / scale.light, scale, options.seed), device)
    with tempfile.TemporaryDirectory() as folder:
        epoch, once = timed(lambda: prepare(way, scale, teacher, light, pool, Path(folder)), device)
        epoch(derive_seed(options.seed, "warm-up"))  # the first one sets up kernels and touches fresh memory
        spent = Spent(0.0, 0.0)
        for number in range(epochs):
            spent += timed(partial(epoch, derive_seed(options.seed, number)), device)[1]
    return Cost(once, spent * (1 / epochs))


def light_network(folder: Path, scale: Scale, seed: int) -> nn.Module:
    """Build the bundle's network at the scale's image size and channels."""
    settings = {"image_size": [scale.image_size] * 2, "in_channels": scale.channels}
    return BundleDefinition(folder, settings).network(derive_seed(seed, "light"))


def random_pool(samples: int, size: int, channels: int, seed: int) -> TensorPool:
    """Return noise images (N, C, S, S), uint8, and label maps of smooth blobs (N, 1, S, S)."""
    random = generator(derive_seed(seed, "pool"))
    images = torch.randint(0, 256, (samples, channels, size, size), generator=random, dtype=torch.uint8)
    coarse = torch.randn(samples, 1, 4, 4, generator=random)
    blobs = functional.interpolate(coarse, size=(size, size), mode="bicubic") > 0.3
    return TensorPool(images, blobs.to(torch.uint8))


def prepare(
    way: Way, scale: Scale, teacher: PromptlessSam, light: nn.Module, pool: TensorPool, folder: Path
) -> Callable[[int], object]:
    """Return what runs one epoch, called with its seed; for ours the embeddings are computed into ``folder`` first."""
    if not way.ours:
        loop = AuthorsLoop(teacher, light, pool, 1, batch_size=scale.batch_size, precision=way.precision)
        return lambda seed: loop.epoch(generator(seed))
    embeddings = open_embeddings(folder, teacher, pool, "benchmark", scale.batch_size, precision=way.precision)
    server = ServerDistillationConfig(
        batch_size=scale.batch_size,
        score_batch_size=scale.score_batch_size,
        autocast=way.precision,
        channels_last=way.channels_last,
    )
    distiller = MutualDistiller(teacher, light, pool, embeddings, 1, True, DistillationConfig(), server)
    return lambda seed: distiller.run(1, seed)


def _measured(options: Options) -> int:
    return min(options.epochs_measured or SCALES[options.scale].epochs_measured, options.epochs)


def _row(way: Way, cost: Cost, epochs: int, samples: int, opponent: float) -> list[Cell]:
    total, epoch = cost.total(epochs), cost.epoch.seconds
    ratio = opponent / total.seconds
    return [way.name, cost.once.seconds, epoch, total.seconds, 1000 * epoch / samples, ratio, total.wall]
