# SPDX-License-Identifier: Apache-2.0
"""The updates of a round, held on disk until it is decided which of them count: memory holds one, or a part of each."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dsfedmed.exchange.tensors import Weights

COLUMNS = 2**20
"""Numbers of every update that are read at a time."""


class HeldUpdates:
    """Updates in float32, each a file of bare numbers in the order of the names.

    Args:
        folder: emptied at the start; removed by `close`.
        like: tensors whose names and shapes every update has.
    """

    def __init__(self, folder: Path, like: Mapping[str, Tensor]) -> None:
        self._folder = folder
        self._shapes = {name: like[name].shape for name in sorted(like)}
        self._sites: list[str] = []
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    @property
    def sites(self) -> tuple[str, ...]:
        """Whose updates are held, in order of arrival."""
        return tuple(self._sites)

    @property
    def count(self) -> int:
        """Numbers of an update."""
        return sum(shape.numel() for shape in self._shapes.values())

    def add(self, site: str, update: Mapping[str, Tensor]) -> None:
        """Hold a site's update."""
        flat = torch.cat([update[name].detach().to("cpu", torch.float32).reshape(-1) for name in self._shapes])
        flat.numpy().tofile(self._path(len(self._sites)))
        self._sites.append(site)

    def flat(self, site: str) -> Tensor:
        """Return a site's update as one vector, float32 (n)."""
        return self._read(site, 0, self.count)

    def get(self, site: str) -> Weights:
        """Return a site's update by name, float32."""
        return self.unflatten([self.flat(site)])

    def columns(self, sites: Sequence[str]) -> Iterator[Tensor]:
        """Yield the updates of these sites as rows, a part of the numbers at a time, float32 (K, at most COLUMNS)."""
        for start in range(0, self.count, COLUMNS):
            width = min(COLUMNS, self.count - start)
            yield torch.stack([self._read(site, start, width) for site in sites])

    def unflatten(self, parts: Sequence[Tensor]) -> Weights:
        """Return what was computed part by part, by name."""
        split = torch.split(torch.cat(list(parts)), [shape.numel() for shape in self._shapes.values()])
        return {name: part.reshape(shape) for (name, shape), part in zip(self._shapes.items(), split, strict=True)}

    def close(self) -> None:
        """Remove the files."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self, site: str, start: int, count: int) -> Tensor:
        path = self._path(self._sites.index(site))
        return torch.from_numpy(np.fromfile(path, np.float32, count, offset=4 * start))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:04d}.f32"
