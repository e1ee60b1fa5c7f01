# SPDX-License-Identifier: Apache-2.0
"""What reading a PNG and its mask costs, against a plain decode of the same files in the same process.

Pillow and NumPy alone give the numbers of a file; the product also holds check sums, sizes, orientation and opacity
against the standard, and understands the mask. Turns alternate and the best of each counts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dsfedmed.data.datalist import PARTS, SiteDatalist, load_datalist
from dsfedmed.data.files.read import read_raw
from dsfedmed.data.reading import LoadSiteImaged
from dsfedmed.errors import ConfigError
from dsfedmed_benchmarks.measurement.clock import timed
from dsfedmed_benchmarks.measurement.readers import reader_versions
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment

COLUMNS = ("set", "pairs", "pixels of the first", "plain decode (ms)", "reading (ms)", "ratio", "to tensors (ms)")
CPU = torch.device("cpu")
Pair = tuple[Path, Path]


@dataclass(frozen=True)
class ReadingOptions:
    """What is read.

    Attributes:
        sites: folders of sites whose images and masks are PNG; made pictures are always read.
        pairs: images with their masks of each set, at most.
        repeats: turns of each way to read; the best counts.
    """

    sites: tuple[Path, ...] = ()
    pairs: int = 60
    repeats: int = 7

    def __post_init__(self) -> None:
        """Refuse counts below 1."""
        if min(self.pairs, self.repeats) < 1:
            raise ConfigError("reading", "pairs and repeats run from 1", "Give --pairs 60 --repeats 7")


def run(options: ReadingOptions) -> Benchmark:
    """Measure made pictures and every site.

    Raises:
        DataError: a site's datalist cannot be read.
        ConfigError: a site has no PNG with a PNG mask.
    """
    with tempfile.TemporaryDirectory(prefix="reading-") as name:
        folder = Path(name)
        rows = [
            measured("made, grey", made(folder / "grey", (256, 256), options.pairs), options.repeats),
            measured("made, RGB", made(folder / "colour", (512, 512, 3), min(options.pairs, 20)), options.repeats),
        ]
    for site in options.sites:
        pairs = png_pairs(load_datalist(site), options.pairs)
        rows.append(measured(f"{site.parent.name}/{site.name}", pairs, options.repeats))
    notes = (
        "Plain decode: `numpy.asarray(PIL.Image.open(path))` of image and mask. Reading: `read_raw` of both. To "
        "tensors: `LoadSiteImaged`, with scaling, the mask understood and MONAI's metadata.",
        f"CPU milliseconds a pair, the best of {options.repeats} turns that alternate, files in the page cache.",
    )
    return Benchmark("reading", "Reading PNG: cost a pair", COLUMNS, rows, notes, environment(**reader_versions()))


def measured(name: str, pairs: Sequence[Pair], repeats: int) -> list[Cell]:
    """Return a row of the table."""
    load = LoadSiteImaged(channels=1)
    ways: tuple[Callable[[Pair], object], ...] = (
        lambda pair: [np.asarray(Image.open(path)) for path in pair],
        lambda pair: (read_raw(pair[0]), read_raw(pair[1], label=True)),
        lambda pair: load({"image": str(pair[0]), "label": str(pair[1]), "label_map": {255: 1}}),
    )
    best = [float("inf")] * len(ways)
    for _ in range(repeats):
        for place, way in enumerate(ways):
            _, spent = timed(lambda way=way: [way(pair) for pair in pairs], CPU)  # type: ignore[misc]
            best[place] = min(best[place], 1000 * spent.cpu / len(pairs))
    with Image.open(pairs[0][0]) as first:
        size = f"{first.width} x {first.height} {first.mode}"
    plain, reading, tensors = best
    return [name, len(pairs), size, plain, reading, reading / plain, tensors]


def png_pairs(datalist: SiteDatalist, most: int) -> list[Pair]:
    """Return the first images that are PNG and have one mask that is.

    Raises:
        ConfigError: there is none.
    """
    items = [item for part in PARTS for item in datalist.parts[part] if len(item.labels) == 1]
    found = [(item.image, item.labels[0]) for item in items]
    found = [pair for pair in found if all(path.suffix.lower() == ".png" for path in pair)][:most]
    if not found:
        raise ConfigError(datalist.root, "has no PNG with a PNG mask", "Name another site")
    return found


def made(folder: Path, shape: tuple[int, ...], count: int) -> list[Pair]:
    """Write pictures of soft speckle, as scanners give them, each with a mask of 0 and 255."""
    folder.mkdir(parents=True)
    numbers = np.random.default_rng(0)
    y, x = np.mgrid[: shape[0], : shape[1]]
    pairs = []
    for number in range(count):
        inside = (x - shape[1] / 2) ** 2 + (y - shape[0] / 2) ** 2 < (20 + number) ** 2
        soft = 90 + 60 * np.sin(x / 40 + number) + 40 * inside
        soft = soft if len(shape) == 2 else np.repeat(soft[..., None], shape[2], axis=2)
        image, label = folder / f"{number}.png", folder / f"{number}_mask.png"
        Image.fromarray(np.clip(soft + numbers.normal(0, 6, shape), 0, 255).astype(np.uint8)).save(image)
        Image.fromarray(inside.astype(np.uint8) * 255).save(label)
        pairs.append((image, label))
    return pairs
