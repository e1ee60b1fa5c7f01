# SPDX-License-Identifier: Apache-2.0
"""Gradient inversion on the real update of one local step of a light network, with and without the noise filter.

The update is that of `train_light` and the bundle's own optimiser; the filter's arithmetic is that of
`GaussianMechanism`. The attacker is strong: one step, no augmentation, masks and their order known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from monai.metrics.regression import SSIMMetric
from torch import Tensor, nn

from dsfedmed.bundles.definition import BundleDefinition
from dsfedmed.data.arrays import SiteArrays, load_part
from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.labels import to_channels
from dsfedmed.exchange.compression import difference
from dsfedmed.exchange.tensors import Weights
from dsfedmed.networks.trained_tensors import copied_tensors, trained_tensors
from dsfedmed.options import require
from dsfedmed.seeds import derive_seed, generator
from dsfedmed.store.files import read_json, write_json
from dsfedmed.store.stage_store import config_hash
from dsfedmed.training.light import LocalTraining, train_light
from dsfedmed.training.single_channel import fast_single_channel_convolutions
from dsfedmed.training.task import LabelledImages, TrainingTask
from dsfedmed_benchmarks.attacks.gradients import Inversion, invert, peak_signal_to_noise
from dsfedmed_benchmarks.attacks.victim import Say
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment
from dsfedmed_benchmarks.performance.privacy import Filtered, clipped_and_noisy

COLUMNS = ("network", "optimiser", "noise multiplier", "batch", "images", "PSNR (dB)", "SSIM", "unrelated: PSNR (dB)",
           "unrelated: SSIM", "nearer than any unrelated (%)")  # fmt: skip
RATES = {"sgd": 0.1, "adam": 3e-3}
"""Learning rates: that of FedAvg as it is tuned in the benchmark of few rounds, and the preset's."""
CHECK = "dense, as a check of the attack"
CHECK_WIDTH = 64


@dataclass(frozen=True)
class Options:
    """What is attacked.

    Attributes:
        site: site folder.
        bundles: folder of the bundles.
        bundle: the light network's.
        image_size: side in pixels.
        batches: images of the one step.
        images: that are looked for in each row, in as many batches as it takes; at least one batch.
        optimizers: of the bundle, out of `RATES`; all but the first under the first noise alone.
        noise: noise multipliers; 0 for no filter at all.
        clip: the filter's clipping norm.
        iterations: of the attack.
        seed: of start weights, choice of images, noise and start images.
        name: of the table's files.
    """

    site: Path
    bundles: Path = Path("bundles")
    bundle: str = "light_unet_segmentation"
    image_size: int = 64
    batches: tuple[int, ...] = (1, 4, 16)
    images: int = 1
    optimizers: tuple[str, ...] = ("sgd", "adam")
    noise: tuple[float, ...] = (0.0, 0.0005)
    clip: float = 2.0
    iterations: int = 200
    seed: int = 0
    name: str = "attacks-inversion"

    def __post_init__(self) -> None:
        """Refuse numbers that give no row."""
        least = min(*self.batches, self.images, self.iterations)
        require(least > 0 and self.clip > 0, "inversion", "a number is not above 0", "Give 1 or more")
        known = set(self.optimizers) <= set(RATES)
        require(known, "optimizers", f"{self.optimizers} has an unknown one", f"Give {', '.join(RATES)}")


@dataclass(frozen=True)
class Row:
    """One row: which network takes its step with which optimiser, under which noise, on how many images."""

    network: str
    optimizer: str
    noise: float
    batch: int


@dataclass(frozen=True)
class Outcome:
    """Means over the images of one row: PSNR in dB and SSIM, of what was found and of the best unrelated image.

    Attributes:
        psnr: of what was found.
        ssim: the same.
        other_psnr: of the unrelated image that comes nearest by PSNR.
        other_ssim: of the one that comes nearest by SSIM.
        nearer: share of images with a higher SSIM than any unrelated one.
        images: how many.
    """

    psnr: float
    ssim: float
    other_psnr: float
    other_ssim: float
    nearer: float
    images: int


def run(options: Options, work: Path, say: Say = print) -> Benchmark:
    """Attack every row that is not in ``work`` yet and return the table."""
    datalist = load_datalist(options.site)
    bundles = {name: _bundle(options, datalist.channels or 1, name) for name in options.optimizers}
    first = bundles[options.optimizers[0]]
    own, others = (load_part(datalist, part, first.preprocessing()) for part in ("training", "test"))
    wanted = [Row(CHECK, options.optimizers[0], noise, options.batches[0]) for noise in options.noise]
    wanted += [
        Row(options.bundle, optimizer, noise, batch)
        for optimizer in options.optimizers
        for noise in (options.noise if optimizer == options.optimizers[0] else options.noise[:1])
        for batch in options.batches
    ]
    rows: list[tuple[Cell, ...]] = []
    for row in wanted:
        bundle = bundles[row.optimizer]
        told = {**asdict(row), "bundle": bundle.sha256, "site": datalist.name, "images": options.images}
        told |= {"clip": options.clip, "iterations": options.iterations, "seed": options.seed}
        path = work / f"inversion-{config_hash(told)}.json"
        if not path.exists():
            write_json(path, vars(_attack(options, bundle, own, others.images, row)))
        found = Outcome(**read_json(path))
        say(f"{row}: {found}")
        rows.append((
            row.network, row.optimizer, row.noise or None, row.batch, found.images, found.psnr, found.ssim,
            found.other_psnr, found.other_ssim, 100 * found.nearer,
        ))  # fmt: skip
    title, notes = f"Gradient inversion of one step of {options.bundle}", _notes(options, datalist.name, len(others))
    return Benchmark(options.name, title, COLUMNS, rows, notes, environment())


def _bundle(options: Options, channels: int, optimizer: str) -> BundleDefinition:
    values = {"image_size": [options.image_size] * 2, "in_channels": channels, "optimizer": optimizer}
    return BundleDefinition(options.bundles / options.bundle, {**values, "learning_rate": RATES[optimizer]})


def dense_network(bundle: BundleDefinition, seed: int) -> nn.Module:
    """Return a network whose first layer sees every pixel: what the attack finds if it works at all."""
    width, height = bundle.image_size
    pixels = width * height
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(bundle.in_channels * pixels, CHECK_WIDTH),
            nn.Tanh(),
            nn.Linear(CHECK_WIDTH, bundle.num_classes * pixels),
            nn.Unflatten(1, (bundle.num_classes, width, height)),
        )


def one_step(network: nn.Module, bundle: BundleDefinition, pairs: LabelledImages, seed: int) -> Weights:
    """Return the update of one gradient step of the bundle's optimiser on all ``pairs``; the network moves."""
    start = copied_tensors(network)
    task = TrainingTask(bundle.num_classes, bundle.nested, bundle.loss(), None, len(pairs.images))
    optimizer = bundle.optimizer(network.parameters())
    train_light(network, optimizer, pairs, task, LocalTraining(steps=1), seed)
    return difference(trained_tensors(network), start)


def _attack(options: Options, bundle: BundleDefinition, own: SiteArrays, others: Tensor, row: Row) -> Outcome:
    """Invert batches of one row until there are enough images."""
    seed = derive_seed(options.seed, "light")
    order = torch.randperm(len(own), generator=generator(derive_seed(options.seed, "inverted")))
    found, true = [], []
    for start in range(0, max(options.images, row.batch), row.batch):
        chosen = torch.sort(order[start : start + row.batch]).values
        pairs = LabelledImages(own.images[chosen], own.labels[chosen])
        moved, network = (
            dense_network(bundle, seed) if row.network == CHECK else bundle.network(seed=seed) for _ in range(2)
        )
        update = one_step(moved, bundle, pairs, options.seed)
        if row.noise:
            form = Filtered(clip=options.clip, noise_multiplier=row.noise)
            update = clipped_and_noisy(form, update, options.seed + start)
        seen = [-update[name] for name, parameter in network.named_parameters() if parameter.requires_grad]
        target = to_channels(pairs.label_maps, bundle.num_classes, bundle.nested)
        signs = row.optimizer.startswith("adam")
        how = Inversion(options.iterations, signs=signs, seed=derive_seed(options.seed, "start", start))
        with fast_single_channel_convolutions(network):
            found.append(invert(network, bundle.loss(), seen, target, bundle.in_channels, how))
        true.append(pairs.images)
    return compare(torch.cat(found), torch.cat(true), others)


def compare(found: Tensor, true: Tensor, others: Tensor) -> Outcome:
    """Return how near ``found`` (N, C, S, S) come to ``true``, and how near the best of ``others`` (M, C, S, S) do."""
    psnr, ssim = peak_signal_to_noise(found, true), similarity(found, true)
    near = [
        (peak_signal_to_noise(others, one.expand_as(others)), similarity(others, one.expand_as(others))) for one in true
    ]
    best_psnr = torch.stack([each[0].max() for each in near])
    best_ssim = torch.stack([each[1].max() for each in near])
    nearer = (ssim > best_ssim).float().mean()
    return Outcome(
        float(psnr.mean()),
        float(ssim.mean()),
        float(best_psnr.mean()),
        float(best_ssim.mean()),
        float(nearer),
        len(true),
    )


def similarity(found: Tensor, true: Tensor) -> Tensor:
    """Return the structural similarity (Wang et al., IEEE TIP 2004), float32 (N,), of images (N, C, S, S) in [0, 1]."""
    metric = SSIMMetric(spatial_dims=2, data_range=1.0)
    return torch.as_tensor(metric(found.contiguous(), true.contiguous())).flatten()


def _notes(options: Options, site: str, others: int) -> Sequence[str]:
    return (
        f"Site {site} at {options.image_size} px, random start weights (a first round). One step on the batch without "
        "augmentation; masks and their order known.",
        f"Geiping et al. (2020): cosine distance and total variation, {options.iterations} steps of Adam on the signs, "
        "from a grey start; theirs are thousands, so an attacker with more time may see more. The update of Adam has "
        "the signs of the gradient only.",
        f"The check: a network of two dense layers of {CHECK_WIDTH}, whose first layer keeps every pixel.",
        f"Noise: clipping to {options.clip:g} and noise of the multiplier times that, as `GaussianMechanism` does "
        "(its cost: privacy.md); empty: no filter.",
        f"Unrelated: the best of {others} test images of the same site, chosen with the true image at hand.",
    )
