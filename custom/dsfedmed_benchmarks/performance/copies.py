# SPDX-License-Identifier: Apache-2.0
"""Whether a site's audit finds copies of its training images in disguise, and how often it cries wolf.

Training images, evenly spaced, are planted in every disguise of `planted.DISGUISES`; the site's test images, which are
of other patients, stand for images that are no copies. One audit a site sees them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dsfedmed.data.datalist import load_datalist
from dsfedmed.federated.site.own_look import own_look
from dsfedmed.generator.audit import audit
from dsfedmed.options import require
from dsfedmed_benchmarks.measurement.clock import timed
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment
from dsfedmed_benchmarks.performance.planted import DISGUISES


@dataclass(frozen=True)
class Options:
    """Which sites, and how many copies.

    Attributes:
        sites: site folders.
        planted: training images that are planted, in every disguise.
        quantile: share of images that may be vetoed without being copies.
    """

    sites: tuple[Path, ...]
    planted: int = 30
    quantile: float = 0.01

    def __post_init__(self) -> None:
        """Refuse numbers that give no table."""
        require(self.planted > 0, "planted", f"{self.planted} is below 1", "Give 30")
        require(0 < self.quantile < 1, "quantile", f"{self.quantile} is not in (0, 1)", "Give 0.01")


@dataclass(frozen=True)
class Found:
    """What one site's audit found.

    Attributes:
        training: its training images.
        planted: how many of them were planted in each disguise.
        shares: share found by disguise, in [0, 1].
        others: images that are no copies.
        false: how many of these were vetoed.
        images: that the audit looked at.
        seconds: of a processor core.
    """

    training: int
    planted: int
    shares: dict[str, float]
    others: int
    false: int
    images: int
    seconds: float


def run(options: Options, say: Callable[[str], None] = print) -> Benchmark:
    """Audit every site's planted copies and give one column a site."""
    found = {}
    for site in options.sites:
        name = load_datalist(site).name
        found[name] = audited(site, options)
        say(f"{name}: {found[name]}")
    return table_of(found, options.quantile)


def table_of(found: Mapping[str, Found], quantile: float) -> Benchmark:
    """Return the table of what was found at each site, by its name."""
    rows: list[tuple[Cell, ...]] = [(way, *(100 * each.shares[way] for each in found.values())) for way in DISGUISES]
    rows += [
        ("no copy: vetoed all the same", *(100 * each.false / each.others for each in found.values())),
        ("images that are no copies", *(each.others for each in found.values())),
        ("copies in each disguise", *(each.planted for each in found.values())),
        ("training images", *(each.training for each in found.values())),
        ("core seconds for 1,000 images", *(1000 * each.seconds / each.images for each in found.values())),
    ]
    return Benchmark(
        "copies",
        "Copies in disguise that a site's audit finds (%)",
        ("disguise", *found),
        rows,
        (
            "Of planted training images in each disguise, the share that was vetoed. The audit may veto "
            f"{quantile:.0%} of images that are no copies.",
            "No copies: the site's test images, of other patients as its datalist says. Seconds are of one core, the "
            "baseline included.",
        ),
        environment(),
    )


def audited(site: Path, options: Options) -> Found:
    """Plant copies at one site and audit them together with its test images."""
    datalist = load_datalist(site)
    channels = datalist.channels or 1
    training, held_out, others = (own_look(datalist, part, channels) for part in ("training", "validation", "test"))
    chosen = training[:: max(1, -(-len(training) // options.planted))]
    made = [*(disguise(chosen, others) for disguise in DISGUISES.values()), others]
    patients = [item.case for item in datalist.parts["training"]]
    images = as_stored(torch.cat(made))
    result, spent = timed(
        lambda: audit(images, training, held_out, options.quantile, datalist.name, patients), torch.device("cpu")
    )
    vetoed = torch.zeros(len(images))
    vetoed[result.vetoed] = 1
    *parts, wolf = vetoed.split([len(part) for part in made])
    shares = {way: float(part.mean()) for way, part in zip(DISGUISES, parts, strict=True)}
    return Found(len(training), len(chosen), shares, len(others), int(wolf.sum()), len(images), spent.cpu)


def as_stored(images: Tensor) -> Tensor:
    """Return images as a synthetic set stores them, uint8."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)
