# SPDX-License-Identifier: Apache-2.0
"""What one image costs: the light networks against SAM ViT-B, each at its own image size, one image at a time.

The light networks are those of the bundles, the teacher is the paper's; random weights, which cost what real ones do.
The paper (DSFedMed, arXiv 2601.16073) has 0.118 s for SAM ViT-B and 0.015 s for TinySAM on its GPU, 7.9 times.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.devices import on_device
from dsfedmed.networks.promptless_sam import build_promptless_sam
from dsfedmed.seeds import derive_seed, generator
from dsfedmed.training.precision import Autocast, autocast
from dsfedmed_benchmarks.measurement.clock import Spent, timed
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment

COLUMNS = (
    "network",
    "image size (px)",
    "parameters",
    "weights, float32 (MiB)",
    "float32 (ms)",
    "bfloat16 (ms)",
    "times as fast, float32",
    "times as fast, bfloat16",
)
MIB = 2**20


@dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
        lights: bundles of the light networks.
        teacher: a key of `dsfedmed.networks.promptless_sam.variants.VARIANTS`, the network to compare with.
        teacher_image_size: side of its images, in pixels.
        repeats: passes measured at most, after a first that sets things up; the median is taken.
        seconds: on the wall, after which no further pass starts; if the first took as long, it is the one that counts.
        device: torch device.
        bundles: folder of the bundles.
        seed: of weights and images.
    """

    lights: tuple[str, ...] = (
        "light_unet_segmentation",
        "light_flexible_unet_segmentation",
        "light_tinysam_segmentation",
    )
    teacher: str = "vit_b"
    teacher_image_size: int = 1024
    repeats: int = 20
    seconds: float = 30.0
    device: str = "cpu"
    bundles: Path = Path("bundles")
    seed: int = 0


@dataclass(frozen=True)
class Candidate:
    """A network to measure: its name, how it is built, and the size (C, X, Y) of its image."""

    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, int, int]


def run(options: Options) -> Benchmark:
    """Measure every light network and the teacher; ratios are the teacher's time over theirs, format by format."""
    candidates = [*(_light(options, name) for name in options.lights), _teacher(options)]
    times = [_measure(candidate, options) for candidate in candidates]
    rows = [
        [*_describe(candidate), *own, *(slow / fast for slow, fast in zip(times[-1], own, strict=True))]
        for candidate, own in zip(candidates, times, strict=True)
    ]
    clock = "on the wall" if torch.device(options.device).type == "cuda" else "of the CPU (all threads)"
    notes = (
        f"One image at a time, median of up to {options.repeats} passes after a first; milliseconds are {clock}.",
        "Each network at its own image size, logits at the image's size; random weights and images.",
    )
    title = f"Inference: light networks against SAM {options.teacher}"
    return Benchmark("inference", title, COLUMNS, rows, notes, environment(options.device))


def _light(options: Options, name: str) -> Candidate:
    bundle = BundleDefinition(options.bundles / name)
    shape = (bundle.in_channels, *bundle.image_size)
    return Candidate(name, partial(bundle.network, derive_seed(options.seed, name)), shape)


def _teacher(options: Options) -> Candidate:
    side = options.teacher_image_size
    build = partial(build_promptless_sam, options.teacher, side, 1, seed=options.seed)
    return Candidate(f"SAM {options.teacher}", build, (3, side, side))


def _describe(candidate: Candidate) -> list[Cell]:
    """Return name, image size, parameters and their MiB."""
    count = sum(parameter.numel() for parameter in candidate.build().parameters())
    return [candidate.name, candidate.shape[-1], count, 4 * count / MIB]


def _measure(candidate: Candidate, options: Options) -> tuple[float, float]:
    """Return the milliseconds of one image in float32 and in bfloat16."""
    network = on_device(candidate.build(), options.device).eval()
    return (
        milliseconds(network, candidate.shape, "off", options),
        milliseconds(network, candidate.shape, "bfloat16", options),
    )


@torch.inference_mode()
def milliseconds(network: nn.Module, shape: tuple[int, int, int], kind: Autocast, options: Options) -> float:
    """Return the median time of one image's pass."""
    device = torch.device(options.device)
    image = torch.rand(1, *shape, generator=generator(options.seed)).to(device)

    def one_pass() -> None:
        with autocast(device, kind):
            network(image)

    first = timed(one_pass, device)[1]
    spent: list[Spent] = []
    while len(spent) < options.repeats and sum((one.wall for one in spent), first.wall) < options.seconds:
        spent.append(timed(one_pass, device)[1])
    return 1000 * statistics.median(one.seconds for one in spent or [first])
