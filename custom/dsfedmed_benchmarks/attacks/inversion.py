# SPDX-License-Identifier: Apache-2.0
"""Gradient inversion on the real update of one local step of a light network, with and without the noise filter.

The update is that of `train_light` and the bundle's own optimiser; the filter's arithmetic is that of
`GaussianMechanism`. The attacker is strong: one step, no augmentation, masks and their order known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from monai.metrics.regression import SSIMMetric
from torch import Tensor

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

COLUMNS = ("optimiser", "noise multiplier", "batch", "images", "PSNR (dB)", "SSIM", "unrelated: PSNR (dB)",
           "unrelated: SSIM", "nearer than any unrelated (%)")  # fmt: skip


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
        optimizers: of the bundle, by name.
        noise: noise multipliers; 0 for no filter at all.
        clip: the filter's clipping norm.
        iterations: of the attack.
        seed: of start weights, choice of images, noise and start images.
    """

    site: Path
    bundles: Path = Path("bundles")
    bundle: str = "light_unet_segmentation"
    image_size: int = 64
    batches: tuple[int, ...] = (1, 4, 16)
    images: int = 4
    optimizers: tuple[str, ...] = ("sgd", "adam")
    noise: tuple[float, ...] = (0.0, 0.0005, 0.01, 4.5)
    clip: float = 2.0
    iterations: int = 600
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that give no row."""
        least = min(*self.batches, self.images, self.iterations)
        require(least > 0 and self.clip > 0, "inversion", "a number is not above 0", "Give 1 or more")


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
    values = {
        "image_size": [options.image_size] * 2, "in_channels": datalist.channels or 1, "optimizer": "sgd",
    }  # fmt: skip
    bundle = BundleDefinition(options.bundles / options.bundle, values)
    own, others = (load_part(datalist, part, bundle.preprocessing()) for part in ("training", "test"))
    rows: list[tuple[Cell, ...]] = []
    for optimizer in options.optimizers:
        bundle = BundleDefinition(options.bundles / options.bundle, {**values, "optimizer": optimizer})
        for noise in options.noise:
            for batch in options.batches:
                told = {"optimizer": optimizer, "noise": noise, "batch": batch, "images": options.images}
                told |= {"clip": options.clip, "iterations": options.iterations, "seed": options.seed}
                path = work / f"inversion-{config_hash({**told, 'bundle': bundle.sha256, 'site': datalist.name})}.json"
                if not path.exists():
                    write_json(path, vars(_attack(options, bundle, own, others.images, (optimizer, noise, batch))))
                found = Outcome(**read_json(path))
                say(f"{optimizer}, noise {noise:g}, batch {batch}: {found}")
                rows.append((
                    optimizer, noise or None, batch, found.images, found.psnr, found.ssim, found.other_psnr,
                    found.other_ssim, 100 * found.nearer,
                ))  # fmt: skip
    return Benchmark(
        "attacks-inversion",
        f"Gradient inversion of one step of {options.bundle}",
        COLUMNS,
        rows,
        _notes(options, datalist.name, len(others)),
        environment(),
    )


def one_step(bundle: BundleDefinition, pairs: LabelledImages, seed: int) -> tuple[Weights, Weights, bool]:
    """Return the start weights, the update of one gradient step on all ``pairs``, and whether its signs alone count."""
    network = bundle.network(seed=derive_seed(seed, "light"))
    start = copied_tensors(network)
    optimizer = bundle.optimizer(network.parameters())
    task = TrainingTask(bundle.num_classes, bundle.nested, bundle.loss(), None, len(pairs.images))
    train_light(network, optimizer, pairs, task, LocalTraining(steps=1), seed)
    return start, difference(trained_tensors(network), start), "Adam" in type(optimizer).__name__


def _attack(
    options: Options, bundle: BundleDefinition, own: SiteArrays, others: Tensor, row: tuple[str, float, int]
) -> Outcome:
    """Invert batches of one row until there are enough images."""
    _, noise, batch = row
    order = torch.randperm(len(own), generator=generator(derive_seed(options.seed, "inverted")))
    found, true = [], []
    for start in range(0, max(options.images, batch), batch):
        chosen = order[start : start + batch]
        pairs = LabelledImages(own.images[chosen], own.labels[chosen])
        weights, update, signs = one_step(bundle, pairs, options.seed)
        if noise:
            update = clipped_and_noisy(
                Filtered(clip=options.clip, noise_multiplier=noise), update, options.seed + start
            )
        network = bundle.network(seed=0)
        network.load_state_dict(weights, strict=False)
        names = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
        target = to_channels(pairs.label_maps, bundle.num_classes, bundle.nested)
        how = Inversion(options.iterations, signs=signs, seed=derive_seed(options.seed, "start", start))
        with fast_single_channel_convolutions(network):
            seen = [-update[name] for name in names]
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
        "augmentation; masks and their order known. Rows of batch 1 and 4 are means over several batches.",
        f"Geiping et al. (2020): cosine distance and total variation, {options.iterations} steps of Adam on the signs. "
        "Adam's update has the signs of the gradient only.",
        f"Noise: clipping to {options.clip:g} and noise of the multiplier times that, as `GaussianMechanism` does "
        "(its cost: privacy.md); empty: no filter.",
        f"Unrelated: the best of {others} test images of the same site, chosen with the true image at hand.",
    )
