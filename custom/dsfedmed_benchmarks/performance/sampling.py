# SPDX-License-Identifier: Apache-2.0
"""Generated images per second, by sampler, number of steps and guidance.

The embedded generator at the CPU preset's size with random weights, which cost what fitted ones cost. What a sampler's
images are worth is another benchmark: `samplers`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch

from dsfedmed.devices import on_device
from dsfedmed.generator import GeneratorConfig, build_base, build_branch, embedded_base
from dsfedmed.generator.sample import sample
from dsfedmed_benchmarks.measurement.clock import Spent, timed
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment
from dsfedmed_benchmarks.performance.distillation import random_pool

COLUMNS = ("sampler", "steps", "guidance", "network passes an image", "images/s", "ms an image", "times as fast")
NO_GUIDANCE = 1.0


@dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
        samplers: names that `dsfedmed.generator.GeneratorConfig.sampler` knows.
        steps: network evaluations an image, each with every sampler.
        reference_steps: of the reference, the first sampler with guidance.
        images: images per measurement, one batch.
        image_size: side of the images, in pixels.
        device: torch device.
        seed: of weights, masks and noise.
    """

    samplers: tuple[str, ...] = ("ddim", "unipc", "dpmsolver++", "lcm")
    steps: tuple[int, ...] = (4, 8, 20)
    reference_steps: int = 50
    images: int = 16
    image_size: int = 64
    device: str = "cpu"
    seed: int = 0


def run(options: Options) -> Benchmark:
    """Measure every combination; ratios are against the first sampler with guidance and the reference's steps."""
    measured = [(config, _measure(config, options)) for config in configurations(options)]
    reference = measured[0][1].seconds
    rows = [_row(config, spent.seconds / options.images, reference / spent.seconds) for config, spent in measured]
    clock = "on the wall" if torch.device(options.device).type == "cuda" else "of the CPU (all threads)"
    notes = (
        f"Embedded generator, {options.image_size} px, one batch of {options.images} images after a short first one; "
        f"seconds are {clock}.",
        "Guidance evaluates the networks twice a step; random weights.",
    )
    return Benchmark("sampling", "Generated images per second", COLUMNS, rows, notes, environment(options.device))


def configurations(options: Options) -> Iterator[GeneratorConfig]:
    """Yield the reference, then every sampler with every number of steps, with guidance and without."""
    default = GeneratorConfig(image_size=options.image_size)
    yield replace(default, sampler=options.samplers[0], sampler_steps=options.reference_steps)
    for sampler in options.samplers:
        for steps in options.steps:
            for guidance in (default.guidance, NO_GUIDANCE):
                yield replace(default, sampler=sampler, sampler_steps=steps, guidance=guidance)


def passes(config: GeneratorConfig) -> int:
    """Return how often the networks are evaluated for one image."""
    return config.sampler_steps * (1 if config.guidance == NO_GUIDANCE else 2)


def _measure(config: GeneratorConfig, options: Options) -> Spent:
    base = on_device(build_base(config, options.seed), options.device)
    generator_base = embedded_base(base, config)
    branch = on_device(build_branch(generator_base, config, options.seed), options.device)
    masks = random_pool(options.images, config.image_size, 1, options.seed).label_tensor
    config = replace(config, sample_batch=options.images)
    sample(generator_base, branch, masks, replace(config, sampler_steps=1), options.seed)
    work = partial(sample, generator_base, branch, masks, config, options.seed)
    return timed(work, torch.device(options.device))[1]


def _row(config: GeneratorConfig, seconds: float, ratio: float) -> list[Cell]:
    return [
        config.sampler,
        config.sampler_steps,
        config.guidance,
        passes(config),
        1 / seconds,
        1000 * seconds,
        ratio,
    ]
