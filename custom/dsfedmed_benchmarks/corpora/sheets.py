# SPDX-License-Identifier: Apache-2.0
"""Contact sheets: what was read, as small pictures with names, for a person's eyes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from dsfedmed_benchmarks.corpora.reading import Reading

SIDE, LINE, COLUMNS, ROWS = 150, 26, 9, 6


def write_sheets(readings: Sequence[Reading], folder: Path) -> list[Path]:
    """Write the slices of each package's files as sheets of 54 pictures, ``<package>-<number>.png``.

    Returns:
        The paths.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for package in dict.fromkeys(reading.file.package for reading in readings):
        own = [reading for reading in readings if reading.file.package == package]
        cells = [(reading, number) for reading in own for number in reading.planes]
        for start in range(0, len(cells), COLUMNS * ROWS):
            path = folder / f"{package.replace(' ', '-')}-{start // (COLUMNS * ROWS)}.png"
            _sheet(cells[start : start + COLUMNS * ROWS]).save(path)
            written.append(path)
    return written


def _sheet(cells: Sequence[tuple[Reading, int]]) -> Image.Image:
    rows = -(-len(cells) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * SIDE, rows * (SIDE + LINE)), (40, 40, 60))
    draw = ImageDraw.Draw(sheet)
    for place, (reading, number) in enumerate(cells):
        x, y = place % COLUMNS * SIDE, place // COLUMNS * (SIDE + LINE)
        picture = _picture(reading.planes[number])
        sheet.paste(picture, (x + (SIDE - picture.width) // 2, y))
        alike = "" if reading.alike is None else f" {reading.alike:.3f}"
        name = reading.file.name.rpartition("/")[2]
        draw.text((x + 2, y + SIDE), f"{name[:23]}\n{number}{alike}", fill=(255, 255, 255), font_size=10, spacing=1)
    return sheet


def _picture(plane: np.ndarray) -> Image.Image:
    """Return (X, Y, C) in [0, 1] as a picture within the cell; of other channels than 3 the first."""
    shown = plane.swapaxes(0, 1) if plane.shape[-1] == 3 else plane[..., 0].T
    picture = Image.fromarray(np.rint(shown * 255).astype(np.uint8)).convert("RGB")
    factor = (SIDE - 4) / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BOX)
