# SPDX-License-Identifier: Apache-2.0
"""What mixed precision does to the Dice: mutual distillation of a finished run's networks in either number format.

The teacher as adapted to the run's synthetic set and the run's FedAvg light network are distilled on that set, in
float32 and in bfloat16, from the same weights and in the same order; both networks are scored on the source sites'
validation images (never on a test part or an unseen site). Nothing of the run is changed.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from dsfedmed.data.manifest import Manifest
from dsfedmed.data.synthetic import SyntheticSet
from dsfedmed.evaluation.protocol import ForwardPass, quick_dice
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.finished_run import FinishedRun
from dsfedmed.networks.promptless_sam import PromptlessSam
from dsfedmed.seeds import derive_seed
from dsfedmed.training.distillation.embeddings import open_embeddings
from dsfedmed.training.distillation.mutual import MutualDistiller
from dsfedmed.training.precision import Autocast
from dsfedmed_benchmarks.measurement.clock import Spent, timed
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment

COLUMNS = (
    "format",
    "seconds",
    "light network, Dice (%)",
    "light network, difference",
    "its standard error",
    "teacher, Dice (%)",
    "teacher, difference",
)
FORMATS: tuple[Autocast, ...] = ("off", "bfloat16")
LIGHT_STAGE = "training-fedavg"
BEST = "best/"


@dataclass(frozen=True)
class Options:
    """What is compared.

    Attributes:
        run_folder: a finished run, given to the job as --out.
        sites: folder with the run's sites.
        bundles: folder of the bundles.
        epochs: of the distillation.
        seeds: orders of the samples; the formats are compared seed by seed.
    """

    run_folder: Path
    sites: Path
    bundles: Path = Path("bundles")
    epochs: int = 5
    seeds: int = 4


@dataclass(frozen=True)
class Outcome:
    """One distillation: what it cost, and the validation Dice of both networks, in percent."""

    spent: Spent
    light: float
    teacher: float


def run(options: Options) -> Benchmark:
    """Distil in every format and from every seed; differences are against float32, their mean over the seeds."""
    finished = FinishedRun.open(options.run_folder, options.sites, PartyConfig(bundles=options.bundles))
    pool = synthetic_set(options.run_folder, finished)
    start = outcome(finished, *start_networks(finished), Spent(0.0, 0.0))
    found = {
        kind: [distilled(finished, options, pool, kind, seed) for seed in range(options.seeds)] for kind in FORMATS
    }
    rows: list[list[Cell]] = [["before", None, start.light, None, None, start.teacher, None]]
    rows += [_row(kind, found[kind], found["off"]) for kind in FORMATS]
    notes = (
        f"{options.epochs} epochs over {len(pool)} samples from the weights of FedAvg and of the adapted teacher, "
        f"{options.seeds} orders, compared order by order; seconds are of the CPU (all threads), embeddings included.",
        "Dice at network size on the source sites' validation images, mean over the sites.",
    )
    return Benchmark("precision", "Mutual distillation in float32 and bfloat16", COLUMNS, rows, notes, environment())


def _row(kind: Autocast, found: list[Outcome], reference: list[Outcome]) -> list[Cell]:
    light = [one.light - two.light for one, two in zip(found, reference, strict=True)]
    teacher = [one.teacher - two.teacher for one, two in zip(found, reference, strict=True)]
    return [
        "float32" if kind == "off" else kind,
        statistics.fmean(one.spent.seconds for one in found),
        statistics.fmean(one.light for one in found),
        statistics.fmean(light),
        statistics.stdev(light) / math.sqrt(len(light)) if len(light) > 1 else None,
        statistics.fmean(one.teacher for one in found),
        statistics.fmean(teacher),
    ]


def distilled(finished: FinishedRun, options: Options, pool: SyntheticSet, kind: Autocast, seed: int) -> Outcome:
    """Distil once, from the run's weights."""
    settings, facts = finished.plan.settings, finished.plan.facts
    light, teacher = start_networks(finished)
    server = replace(settings.server_distillation, autocast=kind, learn="both")

    def work() -> None:
        with tempfile.TemporaryDirectory() as folder:
            embeddings = open_embeddings(Path(folder), teacher, pool, "benchmark", precision=kind)
            distiller = MutualDistiller(
                teacher, light, pool, embeddings, facts.num_classes, facts.nested, settings.distillation, server
            )
            distiller.run(options.epochs, derive_seed(seed, "precision"))

    return outcome(finished, light, teacher, timed(work, torch.device("cpu"))[1])


def outcome(finished: FinishedRun, light: nn.Module, teacher: nn.Module, spent: Spent) -> Outcome:
    """Score both networks on the source sites."""
    facts = finished.plan.facts

    def dice(network: nn.Module) -> float:
        network.eval()
        scores = [
            quick_dice(network, finished.validation(site), ForwardPass(facts.num_classes), facts.nested)
            for site in finished.sources
        ]
        return 100 * statistics.fmean(scores)

    return Outcome(spent, dice(light), dice(teacher))


def start_networks(finished: FinishedRun) -> tuple[nn.Module, PromptlessSam]:
    """Return the run's FedAvg light network and its adapted teacher."""
    light, teacher = finished.plan.light_network(), finished.plan.teacher_network()
    teacher.load_state_dict(finished.store.get("adapt teacher").tensors)
    kept = finished.store.get(LIGHT_STAGE).tensors
    light.load_state_dict({name[len(BEST) :]: tensor for name, tensor in kept.items() if name.startswith(BEST)})
    return light, teacher


def synthetic_set(run_folder: Path, finished: FinishedRun) -> SyntheticSet:
    """Return the run's synthetic set as it was sealed: without what the audit took out."""
    manifest = Manifest.from_dict(finished.store.get("synthesise").info)
    return SyntheticSet.open(run_folder / "synthetic", manifest, finished.store.get("audit").info["kept"])
