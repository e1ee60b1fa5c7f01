# SPDX-License-Identifier: Apache-2.0
"""Membership inference on a released light network: its loss on a site's training images against its test images.

The loss attack (Yeom et al., CSF 2018, arXiv 1709.01604): the score of an image is minus the bundle's loss of it under
its true mask. Where training images are easier or harder than test images, that says nothing of memory; so the second
attack takes away the loss of a reference network, fitted here on the validation images, which has seen neither (Watson
et al., ICLR 2022, arXiv 2111.08440), and the reference's own row shows what the split alone gives. Members are compared
with images of the same site, so that sites that differ tell nothing. A network that is fitted here on few images of
every site, without augmentation, shows that the attacks find what there is to find.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.data.arrays import SiteArrays, load_part
from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.labels import to_channels
from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.layout import site_folders
from dsfedmed.seeds import derive_seed, generator
from dsfedmed.store.files import read_json
from dsfedmed.training.light import LocalTraining, train_light
from dsfedmed.training.task import LabelledImages, TrainingTask
from dsfedmed_benchmarks.attacks.membership import percent
from dsfedmed_benchmarks.attacks.scores import Scored, bootstrap, pooled_area, pooled_true_positives
from dsfedmed_benchmarks.attacks.victim import Say, joined_arrays
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment

COLUMNS = ("released network", "attack", "site", "members / others", "AUC (95 %)", "TPR at 1 % FPR, % (95 %)")
ALL = "all, each within itself"
OVERFITTED = "overfitted, as a check of the attack"
REFERENCE = "reference, which has seen neither"
LOSS, AGAINST_REFERENCE = "loss", "loss against the reference's"


@dataclass(frozen=True)
class Overfit:
    """How the check is fitted.

    Attributes:
        few: training images of every site.
        epochs: passes over them.
        batch_size: images a step.
        seed: of start weights, choice and order.
        reference_epochs: passes of the reference network over the validation images.
    """

    few: int = 16
    epochs: int = 150
    reference_epochs: int = 30
    batch_size: int = 16
    seed: int = 0


@dataclass(frozen=True)
class Released:
    """A finished run's release beside the images of its source sites.

    Attributes:
        title: method, rounds and the choice among them.
        bundle: the release.
        training: training images by site.
        test: test images by site.
        validation: validation images by site.
    """

    title: str
    bundle: BundleDefinition
    training: dict[str, SiteArrays]
    test: dict[str, SiteArrays]
    validation: dict[str, SiteArrays]

    @classmethod
    def open(cls, run: Path, sites: Path) -> Released:
        """Read the run's record and release and the sites' images.

        Raises:
            ConfigError: the run has no release.
        """
        folder = run / "release"
        if not folder.is_dir():
            raise ConfigError(run, "has no release", "Name a run that is complete")
        bundle, record, folders = BundleDefinition(folder), read_json(run / "record.json"), site_folders(sites)
        lists = {site: load_datalist(sites / folders[site]) for site in record["sites"]}
        training, test, validation = (
            {site: load_part(found, part, bundle.preprocessing()) for site, found in lists.items()}
            for part in ("training", "test", "validation")
        )
        light = record["config"]["light"]
        title = f"{run.name}: {record['config']['rounds']} rounds of {light['epochs_per_round']} passes"
        return cls(title, bundle, training, test, validation)

    def network(self) -> nn.Module:
        """Return the released network."""
        network = self.bundle.network(seed=0)
        weights = torch.load(self.bundle.folder / "models" / "model.pt", weights_only=True)
        network.load_state_dict(weights)
        return network.eval()


def run(runs: Sequence[Path], sites: Path, overfit: Overfit | None = None, say: Say = print) -> Benchmark:
    """Attack the release of every run, and a network overfitted on the sites of the first; return the table."""
    rows: list[tuple[Cell, ...]] = []
    chosen = overfit or Overfit()
    reference: nn.Module | None = None
    for folder in runs:
        released = Released.open(folder, sites)
        parts = {site: (found, released.test[site]) for site, found in released.training.items()}
        if reference is None:
            reference = _fitted(released.bundle, list(released.validation.values()), chosen, chosen.reference_epochs)
            rows += _check_rows(released, reference, chosen)
            rows += _rows(REFERENCE, LOSS, _losses(reference, released.bundle, parts))
        found = _losses(released.network(), released.bundle, parts)
        say(f"{released.title}: {pooled_area(list(found.values())):.3f}")
        rows += _rows(released.title, LOSS, found)
        rows += _rows(released.title, AGAINST_REFERENCE, _against(found, _losses(reference, released.bundle, parts)))
    title = "Membership inference on a released network"
    return Benchmark("attacks-release", title, COLUMNS, rows, _notes(chosen), environment())


@torch.inference_mode()
def loss_of(network: nn.Module, bundle: BundleDefinition, arrays: SiteArrays) -> Tensor:
    """Return minus the bundle's loss of each image, float32 (N,): higher is likelier a member."""
    loss, target = bundle.loss(), to_channels(arrays.labels, bundle.num_classes, bundle.nested)
    values = [loss(network(arrays.images[i : i + 1]), target[i : i + 1]) for i in range(len(arrays))]
    return -torch.stack(values).float()


def _losses(
    network: nn.Module, bundle: BundleDefinition, parts: dict[str, tuple[SiteArrays, SiteArrays]]
) -> dict[str, Scored]:
    """Return the scores of members and others by site."""
    return {site: Scored(*(loss_of(network, bundle, part) for part in pair)) for site, pair in parts.items()}


def _against(found: dict[str, Scored], reference: dict[str, Scored]) -> dict[str, Scored]:
    """Return scores less those of the reference, image by image."""
    return {
        site: Scored(scored.members - reference[site].members, scored.others - reference[site].others)
        for site, scored in found.items()
    }


def _check_rows(released: Released, reference: nn.Module, overfit: Overfit) -> list[tuple[Cell, ...]]:
    """Return the rows of a network that is overfitted on few training images of every site."""
    parts = {}
    for site, arrays in released.training.items():
        draws = generator(derive_seed(overfit.seed, "overfit", site))
        few = torch.randperm(len(arrays), generator=draws)[: overfit.few].tolist()
        cases = tuple(arrays.cases[index] for index in few)
        parts[site] = (SiteArrays(arrays.images[few], arrays.labels[few], cases), released.test[site])
    network = _fitted(released.bundle, [few for few, _ in parts.values()], overfit, overfit.epochs)
    found, by_split = (_losses(each, released.bundle, parts) for each in (network, reference))
    return [*_rows(OVERFITTED, LOSS, found), *_rows(OVERFITTED, AGAINST_REFERENCE, _against(found, by_split))]


def _fitted(bundle: BundleDefinition, parts: list[SiteArrays], overfit: Overfit, epochs: int) -> nn.Module:
    """Return a network fitted on all parts together, without augmentation."""
    pooled, network = joined_arrays(parts), bundle.network(seed=overfit.seed)
    task = TrainingTask(bundle.num_classes, bundle.nested, bundle.loss(), None, overfit.batch_size)
    pairs = LabelledImages(pooled.images, pooled.labels)
    optimizer = bundle.optimizer(network.parameters())
    train_light(network, optimizer, pairs, task, LocalTraining(epochs), derive_seed(overfit.seed, "overfit"))
    return network.eval()


def _rows(title: str, attack: str, found: dict[str, Scored]) -> list[tuple[Cell, ...]]:
    groups = [(ALL, list(found.values())), *((site, [scored]) for site, scored in found.items())]
    rows: list[tuple[Cell, ...]] = []
    for site, scored in groups:
        members, others = (sum(len(getattr(each, kind)) for each in scored) for kind in ("members", "others"))
        shares = percent(bootstrap(pooled_true_positives, scored))
        area = str(bootstrap(pooled_area, scored))
        rows.append((title, attack, site, f"{members} / {others}", area, shares))
    return rows


def _notes(overfit: Overfit) -> tuple[str, ...]:
    return (
        "Members: the source sites' training images; others: their test images, of other patients. Masks known to the "
        "attacker. AUC 0.5 is chance; the TPR of chance is 1 % (below 100 others no false positive is allowed).",
        f"The check: the same network fitted on {overfit.few} training images of every site, {overfit.epochs} passes, "
        f"no augmentation. The reference: on the validation images, {overfit.reference_epochs} passes, one for all.",
        "Intervals: bootstrap over images within each site.",
    )
