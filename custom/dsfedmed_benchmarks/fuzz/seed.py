# SPDX-License-Identifier: Apache-2.0
"""A valid file, or a folder of them, before anything is damaged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

DATALIST = "datalist"
"""The kind of a site's folder, whose ``datalist.json`` is damaged; every other kind is a `Kind` of `data.files`."""


@dataclass(frozen=True)
class Seed:
    """What is valid.

    name: of the seed, unique. kind: its format, see ``DATALIST``. files: content by path in the trial's folder.
    target: what is read, a file, or "" for the folder itself. harmed: the file that is damaged.
    """

    name: str
    kind: str
    files: dict[str, bytes]
    target: str
    harmed: str

    def write(self, folder: Path, content: bytes | None = None) -> Path:
        """Write the files into a folder, with ``content`` in place of the one that is harmed; return the target."""
        for name, whole in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(whole if content is None or name != self.harmed else content)
        return folder / self.target


def one_file(name: str, kind: str, suffix: str, content: bytes) -> Seed:
    """Return the seed of one file."""
    return Seed(name, kind, {f"{name}{suffix}": content}, f"{name}{suffix}", f"{name}{suffix}")


def pattern(rows: int = 24, columns: int = 40, seed: int = 0) -> np.ndarray:
    """Return a smooth picture with an object, (rows, columns) uint8."""
    y, x = np.mgrid[0:rows, 0:columns]
    ground = (x * 160 // columns + y * 60 // rows).astype(np.uint8)
    ground[(x - columns // 3) ** 2 + (y - rows // 2) ** 2 < (rows // (2 + seed % 5)) ** 2] = 240
    return np.asarray(ground)


def colours(rows: int = 24, columns: int = 40) -> np.ndarray:
    """Return a colour picture, (rows, columns, 3) uint8."""
    grey = pattern(rows, columns)
    return np.stack([grey, 255 - grey, grey // 2], axis=-1)
