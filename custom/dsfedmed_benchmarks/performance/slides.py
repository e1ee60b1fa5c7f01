# SPDX-License-Identifier: Apache-2.0
"""Peak memory and time of reading pictures of 180 million pixels at the size of the network.

Each picture is written by one process and read by another one, whose peak is that of the reading alone.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from monai.transforms import Compose, Resized
from PIL import Image

from dsfedmed.data.reading import LoadSiteImaged
from dsfedmed.errors import ConfigError
from dsfedmed_benchmarks.measurement.process_memory import peak_mib, reset_peak, resident_mib
from dsfedmed_benchmarks.measurement.readers import reader_versions
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment

COLUMNS = ("picture", "pixels", "file (MiB)", "peak above the start (MiB)", "bound (MiB)", "seconds")
BOUND_MIB = 1638  # docs/reference/formats.md: 1.6 GiB
TILE = (256, 256)
Spent = tuple[float, float]


@dataclass(frozen=True)
class SlideOptions:
    """What is written and read.

    Attributes:
        width: pixels of a row.
        height: rows.
        side: of the square that a network sees.
    """

    width: int = 15_000
    height: int = 12_000
    side: int = 256

    def __post_init__(self) -> None:
        """Refuse sizes below a tile."""
        if min(self.width, self.height) < TILE[0] or self.side < 1:
            raise ConfigError("slides", "width and height run from 256, side from 1", "Give --width 15000")


def run(options: SlideOptions) -> Benchmark:
    """Write and read every kind of picture."""
    rows: list[list[Cell]] = []
    with tempfile.TemporaryDirectory(prefix="slides-") as name:
        for title, (file, write) in KINDS.items():
            path = Path(name) / file
            in_a_process(write, path, options)
            peak, seconds = in_a_process(read, path, options)
            size = path.stat().st_size / 2**20
            rows.append([title, f"{options.width} x {options.height}", size, peak, BOUND_MIB, seconds])
            path.unlink()
    notes = (
        f"Read by `LoadSiteImaged` in RGB and resized to {options.side} x {options.side}, as training reads. Seconds "
        "on the wall; the peak is of resident memory, above what the process had with all libraries loaded.",
    )
    title = "Very large pictures at network size: memory and time"
    return Benchmark("slides", title, COLUMNS, rows, notes, environment(**reader_versions()))


def in_a_process(work: Callable[[Path, SlideOptions], tuple[float, float]], path: Path, options: SlideOptions) -> Spent:
    """Return what ``work`` returns in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, path, options).result()


def read(path: Path, options: SlideOptions) -> Spent:
    """Return the peak in MiB above the start, and the seconds, of reading one picture."""
    side = (options.side, options.side)
    steps = Compose([LoadSiteImaged("image", channels=3), Resized("image", side, mode="area")])
    small = path.with_name("small.png")
    Image.new("RGB", (32, 32)).save(small)
    steps({"image": str(small)})  # what is imported at the first use
    reset_peak()
    before, started = resident_mib(), time.perf_counter()
    steps({"image": str(path)})
    return peak_mib() - before, time.perf_counter() - started


def write_pyramid(path: Path, options: SlideOptions) -> Spent:
    """Write a slide as scanners do: tiles, and levels of half the size each."""
    started, levels = time.perf_counter(), [picture(options)]
    while levels[-1].size > 3 * TILE[0] ** 2 * 16:
        levels.append(np.ascontiguousarray(levels[-1][::2, ::2]))
    with tifffile.TiffWriter(path, bigtiff=True) as slide:
        slide.write(levels[0], tile=TILE, compression="zlib", photometric="rgb", subifds=len(levels) - 1)
        for level in levels[1:]:
            slide.write(level, tile=TILE, compression="zlib", photometric="rgb", subfiletype=1)
    return 0.0, time.perf_counter() - started


def write_flat(path: Path, options: SlideOptions) -> Spent:
    """Write one level in tiles."""
    started = time.perf_counter()
    tifffile.imwrite(path, picture(options), tile=TILE, compression="zlib", photometric="rgb")
    return 0.0, time.perf_counter() - started


def write_jpeg(path: Path, options: SlideOptions) -> Spent:
    """Write a photograph."""
    started = time.perf_counter()
    Image.fromarray(picture(options)).save(path, quality=85)
    return 0.0, time.perf_counter() - started


def picture(options: SlideOptions) -> np.ndarray:
    """Return (height, width, 3) of stained discs on white, one patch repeated."""
    numbers, (rows, columns) = np.random.default_rng(0), (1200, 1500)
    y, x = np.mgrid[:rows, :columns]
    stain = sum(np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 900) for cx, cy in numbers.integers(0, 1200, (60, 2)))
    patch = np.stack([235 - 90 * stain, 225 - 160 * stain, 240 - 60 * stain], axis=-1) + numbers.normal(0, 3, 3)
    patch = np.clip(patch, 0, 255).astype(np.uint8)
    tiled = np.tile(patch, (-(-options.height // rows), -(-options.width // columns), 1))
    return np.ascontiguousarray(tiled[: options.height, : options.width])


KINDS: dict[str, tuple[str, Callable[[Path, SlideOptions], Spent]]] = {
    "TIFF, tiles, pyramid (slide)": ("pyramid.tif", write_pyramid),
    "TIFF, tiles, one level": ("flat.tif", write_flat),
    "JPEG": ("photograph.jpg", write_jpeg),
}
"""Name of each kind of picture: its file, and what writes it."""
