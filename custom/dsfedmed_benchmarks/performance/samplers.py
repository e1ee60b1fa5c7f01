# SPDX-License-Identifier: Apache-2.0
"""Sampler and number of steps against time and downstream Dice.

A finished run holds its frozen base, its branches and its masks. For each (sampler, steps) the whole synthetic set is
drawn again from them, same masks and same noise; then the light network of the run is trained on that set alone, for a
number of seeds, and scored on the validation images of the source sites (never on a test part or an unseen site). Seeds
are paired: seed s gives every sampler the same start weights, the same order and the same augmentation.

Sets and scores are kept under ``work``, and an interrupted table is resumed from them.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from dsfedmed.data.labels import to_channels
from dsfedmed.errors import ConfigError
from dsfedmed.evaluation.protocol import ForwardPass, quick_dice
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.finished_run import FinishedRun
from dsfedmed.generator.config import GeneratorConfig
from dsfedmed.generator.quality import usable
from dsfedmed.generator.sample import sample
from dsfedmed.seeds import derive_seed
from dsfedmed.store.files import read_json, read_tensors, write_json, write_tensors
from dsfedmed.training.light import LocalTraining, train_light
from dsfedmed.training.task import LabelledImages, TrainingTask
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment

SCORED_EPOCHS = 8
REFERENCE = "ddim-50"
DEFAULT = (REFERENCE, "ddim-8", "unipc-10", "unipc-8", "dpmsolver++-8", "dpmsolver++-6", "lcm-8")
COLUMNS = ("sampler", "steps", "images/s", "time against reference", "Dice (%)", "difference", "standard error")


@dataclass(frozen=True)
class SamplerScores:
    """What one sampler gave: seconds for all images, images, and one validation Dice in [0, 1] per seed."""

    seconds: float
    images: int
    dice: tuple[float, ...]


def run(
    run_folder: Path,
    sites: Path,
    bundles: Path = Path("bundles"),
    generator: Path | None = None,
    device: str = "cpu",
    work: Path = Path("runs/bench/samplers"),
    samplers: Sequence[str] = DEFAULT,
    seeds: int = 4,
    epochs: int = 20,
    say: Callable[[str], None] = print,
) -> Benchmark:
    """Measure every sampler of ``samplers`` (names such as ``unipc-8``); the first one is the reference.

    Args:
        run_folder: a finished run (its ``store`` is read).
        sites: folder with the run's sites.
        bundles: folder with the bundle of the run's light network.
        generator: Stable Diffusion folder of a run that builds on one.
        device: torch device.
        work: where sets and scores are kept.
        samplers: what to compare.
        seeds: trainings of the light network per sampler.
        epochs: passes over the synthetic set in each.
        say: takes the progress lines.
    """
    finished = FinishedRun.open(run_folder, sites, PartyConfig(bundles=bundles, generator=generator, device=device))
    scores = {}
    for name in samplers:
        images, labels, seconds = _synthetic_set(finished, name, work)
        say(f"{name}: {len(images)} images in {seconds:.1f} s")
        dice = [_score(finished, name, images, labels, seed, epochs, work) for seed in range(seeds)]
        say(f"{name}: validation Dice {100 * statistics.fmean(dice):.2f}")
        scores[name] = SamplerScores(seconds, len(images), tuple(dice))
    return _table(scores, finished, epochs)


def _synthetic_set(finished: FinishedRun, name: str, work: Path) -> tuple[Tensor, Tensor, float]:
    """Return images uint8 (N, C, S, S), label maps uint8 (N, 1, S, S) and seconds of sampling, from disk if kept."""
    file = work / f"set-{name}.safetensors"
    if not file.exists():
        images, labels, seconds = _draw(finished, config_of(finished.plan.generator, name))
        write_tensors(file, {"images": images, "labels": labels, "seconds": torch.tensor([seconds])})
    kept = read_tensors(file)
    return kept["images"], kept["labels"], float(kept["seconds"])


def config_of(config: GeneratorConfig, name: str) -> GeneratorConfig:
    """Return ``config`` with the sampler and steps of a name such as ``unipc-8``."""
    sampler, _, steps = name.rpartition("-")
    if not steps.isdigit():
        raise ConfigError("samplers", f"{name!r} names no sampler and steps", "Write, for example, unipc-8")
    return dataclasses.replace(config, sampler=sampler, sampler_steps=int(steps))


def _draw(finished: FinishedRun, config: GeneratorConfig) -> tuple[Tensor, Tensor, float]:
    images, labels, seconds = [], [], 0.0
    for site in finished.branch_sites:
        branch = finished.branch(site)
        masks = finished.masks(site)
        channels = to_channels(masks, config.num_classes, finished.plan.facts.nested)
        started = time.perf_counter()
        made = sample(
            finished.generator_base,
            branch,
            channels,
            config,
            derive_seed(finished.plan.settings.seed, site, "synthesise"),
        )
        seconds += time.perf_counter() - started
        good = usable(made)
        images.append(made[good])
        labels.append(masks[good])
    return torch.cat(images), torch.cat(labels), seconds


def _score(
    finished: FinishedRun, name: str, images: Tensor, labels: Tensor, seed: int, epochs: int, work: Path
) -> float:
    """Return the light network's validation Dice after training on the set, from disk if kept.

    The Dice is the mean over the source sites and over the last epochs, for a single epoch's swings by points.
    """
    file = work / f"dice-{name}-{seed}-{epochs}.json"
    if not file.exists():
        images = images.float() / 255
        network = finished.plan.light_bundle.network(seed=derive_seed(seed, "samplers"))
        optimizer = finished.plan.light_bundle.optimizer(network.parameters())
        scores = []
        for epoch in range(epochs):
            _epoch(finished, network, optimizer, images, labels, derive_seed(seed, "samplers", epoch))
            if epoch >= epochs - SCORED_EPOCHS:
                scores.append(_validate(finished, network))
        write_json(file, {"dice": scores})
    return statistics.fmean(read_json(file)["dice"])


def _epoch(
    finished: FinishedRun,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    seed: int,
) -> None:
    bundle, facts = finished.plan.light_bundle, finished.plan.facts
    batch_size = finished.plan.settings.light.batch_size
    task = TrainingTask(facts.num_classes, facts.nested, bundle.loss(), bundle.augmentation(), batch_size)
    train_light(network, optimizer, LabelledImages(images, labels), task, LocalTraining(epochs=1), seed)


def _validate(finished: FinishedRun, network: nn.Module) -> float:
    facts = finished.plan.facts
    dice = [
        quick_dice(network, finished.validation(site), ForwardPass(facts.num_classes), facts.nested)
        for site in finished.sources
    ]
    return statistics.fmean(dice)


def difference(ours: SamplerScores, theirs: SamplerScores) -> tuple[float, float | None]:
    """Return the mean difference in Dice points over paired seeds, and its standard error (None with one seed)."""
    paired = [100 * (a - b) for a, b in zip(ours.dice, theirs.dice, strict=True)]
    error = statistics.stdev(paired) / math.sqrt(len(paired)) if len(paired) > 1 else None
    return statistics.fmean(paired), error


def _table(scores: dict[str, SamplerScores], finished: FinishedRun, epochs: int) -> Benchmark:
    reference = next(iter(scores.values()))
    rows: list[list[Cell]] = []
    for name, score in scores.items():
        sampler, _, steps = name.rpartition("-")
        mean, error = difference(score, reference)
        rows.append(
            [
                sampler,
                int(steps),
                round(score.images / score.seconds, 2),
                round(score.seconds / reference.seconds, 3),
                round(100 * statistics.fmean(score.dice), 2),
                round(mean, 2),
                None if error is None else round(error, 2),
            ]
        )
    notes = (
        f"{reference.images} images of {len(finished.branch_sites)} branches, "
        f"guidance {finished.plan.generator.guidance}; the light network is trained on each set "
        f"alone, {epochs} epochs, {len(reference.dice)} paired seeds; "
        f"Dice on the source sites' validation images, mean of the last {SCORED_EPOCHS} epochs; the difference and its "
        "standard error over the seeds are against the first row.",
    )
    title = "Sampler and steps against time and downstream Dice"
    return Benchmark("samplers", title, COLUMNS, rows, notes, environment(finished.party.device))
