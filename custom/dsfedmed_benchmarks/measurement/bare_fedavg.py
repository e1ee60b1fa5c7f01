# SPDX-License-Identifier: Apache-2.0
"""FedAvg of the light network in bare loops, for the benchmarks that compare what travels.

The functions are those of the federation (`train_light`, `WeightedMean`, `feed_back`, `advance`), without NVFlare.
Seeds are paired: seed s gives every row the same start weights, order and augmentation: rows differ by what travels and
by the chaos of training alone. Scored on the validation images of the source sites, never on a test part or an unseen
site. Outcomes are kept under ``work``, and an interrupted table is resumed from them.
"""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from torch import nn

from dsfedmed.algorithms.aggregation import WeightedMean
from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.data.arrays import SiteArrays, load_part
from dsfedmed.data.datalist import load_datalist
from dsfedmed.evaluation.protocol import ForwardPass, quick_dice
from dsfedmed.exchange.compression import add, difference, pack, unpack
from dsfedmed.exchange.reference import Reference, advance
from dsfedmed.exchange.tensors import Weights, byte_count
from dsfedmed.exchange.updates import EIGHT_BIT, feed_back
from dsfedmed.networks.trained_tensors import copied_tensors, trained_tensors
from dsfedmed.options import require
from dsfedmed.seeds import derive_seed
from dsfedmed.store.files import read_json, write_json
from dsfedmed.store.stage_store import config_hash
from dsfedmed.training.light import LocalTraining, train_light
from dsfedmed.training.task import LabelledImages, TrainingTask

NOT_TRAINED_BY = ("sites", "work", "seeds")
"""Options that change no single training."""


@dataclass(frozen=True)
class WireFormat:
    """What travels: the number format, and whether rounding errors are carried over."""

    precision: str
    feedback: bool


@dataclass(frozen=True)
class Training:
    """What is trained, on what, and how long.

    Attributes:
        sites: folder with one folder per site.
        names: the source sites among them.
        bundles: folder of the bundles.
        bundle: the light network's bundle.
        image_size: side of the images in pixels.
        batch_size: images a step.
        epochs: passes over a site's images in a round.
        rounds: rounds of FedAvg.
        last: the Dice is the mean over so many last rounds.
        seeds: trainings of each row.
        work: folder where the outcome of each training is kept.
    """

    sites: Path
    names: tuple[str, ...]
    bundles: Path = Path("bundles")
    bundle: str = "light_unet_segmentation"
    image_size: int = 64
    batch_size: int = 16
    epochs: int = 1
    rounds: int = 30
    last: int = 5
    seeds: int = 4
    work: Path = Path("runs/bench/fedavg")

    def __post_init__(self) -> None:
        """Refuse numbers that leave nothing to compare."""
        require(self.seeds > 1, "seeds", f"{self.seeds} gives no standard error", "Give 2 or more")
        require(0 < self.last <= self.rounds, "last", f"{self.last} is not in 1..rounds", "Give 5")

    def described(self) -> str:
        """Return the note below a table."""
        return (
            f"FedAvg of {self.bundle} at {self.image_size} px over {len(self.names)} sites, {self.rounds} rounds of "
            f"{self.epochs} epoch; mean validation Dice of the last {self.last} rounds, {self.seeds} paired seeds."
        )


@dataclass(frozen=True)
class Outcome:
    """One training: mean validation Dice in [0, 1] over the last rounds, and bytes of one site in a late round."""

    dice: float
    up: int
    down: int


class Federation:
    """The sites' images in memory, and FedAvg over them.

    Args:
        options: see `Training`.
        bundle: the light network's bundle at the sites' channels and classes.
        training: training images by site.
        validation: validation images by site.
    """

    def __init__(
        self,
        options: Training,
        bundle: BundleDefinition,
        training: dict[str, SiteArrays],
        validation: dict[str, SiteArrays],
    ) -> None:
        self.options, self.bundle, self.training, self.validation = options, bundle, training, validation

    @classmethod
    def open(cls, options: Training) -> Federation:
        """Read the sites' images at the network's size."""
        size = options.image_size
        bundle = BundleDefinition(options.bundles / options.bundle, {"image_size": [size, size]})
        lists = {name: load_datalist(options.sites / name) for name in options.names}
        parts = [
            {name: load_part(found, part, bundle.preprocessing()) for name, found in lists.items()}
            for part in ("training", "validation")
        ]
        return cls(options, bundle, *parts)

    def outcome(self, form: WireFormat, seed: int) -> Outcome:
        """Return what a training gave, from ``work`` if it was done before with the same options and bundle."""
        asked = {f.name: getattr(self.options, f.name) for f in fields(Training) if f.name not in NOT_TRAINED_BY}
        asked |= {"bundles": self.bundle.sha256, "images": {name: len(part) for name, part in self.training.items()}}
        key = config_hash({**asked, **asdict(form), "names": list(self.options.names), "seed": seed})
        path = self.options.work / f"{form.precision}-{'feedback' if form.feedback else 'plain'}-{seed}-{key}.json"
        if not path.exists():
            write_json(path, asdict(self.train(form, seed)))
        return Outcome(**read_json(path))

    def train(self, form: WireFormat, seed: int) -> Outcome:
        """Do all rounds in one format."""
        network = self.bundle.network(seed=derive_seed(seed, "light"))
        master = copied_tensors(network)
        optimizers: dict[str, Weights] = {}
        residuals: dict[str, Weights] = {name: {} for name in self.options.names}
        reference, dice, up, down = Reference(), [], 0, 0
        for number in range(self.options.rounds):
            reference, start, down = self._send_down(form, reference, master)
            mean = WeightedMean(master)
            for site in self.options.names:
                update = self._train_site(network, site, start, optimizers, seed, number)
                update = self.filtered(form, update, derive_seed(seed, site, "filter", number))
                residual = residuals[site] if form.feedback else {}
                encoded, residuals[site] = feed_back(update, residual, form.precision, site)
                up = byte_count(encoded.tensors)
                mean.add(site, encoded.received, len(self.training[site]))
            # Without feedback the master forgets what the sites did not get, as if it had none.
            base = master if form.feedback else start
            master = add(base, mean.result())
            if number >= self.options.rounds - self.options.last:
                dice.append(self._validate(network, form, reference, master))
        return Outcome(statistics.fmean(dice), up, down)

    def filtered(self, form: WireFormat, update: Weights, seed: int) -> Weights:  # noqa: ARG002 (for subclasses)
        """Return what a site's own filter lets out of an update, before it is packed; here the update itself."""
        return update

    def _send_down(self, form: WireFormat, reference: Reference, master: Weights) -> tuple[Reference, Weights, int]:
        """Return the new reference, the weights the sites hold, and the bytes it took."""
        if form.precision != EIGHT_BIT:
            packed = pack(master, form.precision)
            return reference, unpack(packed), byte_count(packed)
        moved, encoded = advance(reference, master)
        return moved, moved.weights, byte_count(encoded.tensors) if encoded else byte_count(moved.weights) // 2

    def _train_site(
        self, network: nn.Module, site: str, start: Weights, optimizers: dict[str, Any], seed: int, number: int
    ) -> Weights:
        network.load_state_dict(start, strict=False)
        if site not in optimizers:
            optimizers[site] = self.bundle.optimizer(network.parameters()).state_dict()
        optimizer = self.bundle.optimizer(network.parameters())
        optimizer.load_state_dict(optimizers[site])
        arrays = self.training[site]
        task = TrainingTask(
            self.bundle.num_classes, self.bundle.nested, self.bundle.loss(), self.bundle.augmentation(),
            self.options.batch_size,
        )  # fmt: skip
        train_light(
            network,
            optimizer,
            LabelledImages(arrays.images, arrays.labels),
            task,
            LocalTraining(self.options.epochs),
            derive_seed(seed, site, "int8_dice", number),
        )
        optimizers[site] = optimizer.state_dict()
        return difference(trained_tensors(network), start)

    def _validate(self, network: nn.Module, form: WireFormat, reference: Reference, master: Weights) -> float:
        """Return the mean Dice over the sites of the weights as the sites would get them next."""
        network.load_state_dict(self._send_down(form, reference, master)[1], strict=False)
        forward = ForwardPass(self.bundle.num_classes)
        scores = [quick_dice(network, arrays, forward, self.bundle.nested) for arrays in self.validation.values()]
        return statistics.fmean(scores)
