# SPDX-License-Identifier: Apache-2.0
"""``areas.csv``: how much of every image each class takes, row by row as images are done."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from dsfedmed.errors import StoreError
from dsfedmed.prediction.areas import Area

NAME = "areas.csv"
COLUMNS = ("file", "slice", "label", "class", "pixels", "area_mm2", "volume_ml", "parts", "empty")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins like this is computed by spreadsheet programs."""


class AreaTable:
    """Writes the table while it is open; it has its name once it is whole, also when the work was broken off.

    Args:
        folder: the folder of results.

    Raises:
        StoreError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._part = folder / f".{NAME}.{os.getpid()}.part"
        self.empty = 0

    def __enter__(self) -> AreaTable:
        """Begin with the names of the columns."""
        try:
            self._stream = self._part.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise self._failed(error) from error
        self._writer = csv.writer(self._stream, lineterminator="\n")
        self._write(COLUMNS)
        return self

    def add(self, file: str, areas: Iterable[Area]) -> None:
        """Write the rows of one image.

        Raises:
            StoreError: the disk is full.
        """
        areas = tuple(areas)
        whole = [area for area in areas if area.slice is None]
        self.empty += all(area.is_empty for area in whole)
        for area in areas:
            number = "all" if area.whole_volume else area.slice
            self._write((_plain(file), number, area.label, area.name, area.pixels, _number(area.area_mm2),
                         _number(area.volume_ml), area.parts, "yes" if area.is_empty else "no"))  # fmt: skip

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the table its name."""
        try:
            self._stream.close()
            os.replace(self._part, self.path)
        except OSError as failure:
            with suppress(OSError):
                self._part.unlink(missing_ok=True)
            if error is None:
                raise self._failed(failure) from failure

    def _write(self, cells: Iterable[object]) -> None:
        try:
            self._writer.writerow(cells)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> StoreError:
        return StoreError(self.path, f"it cannot be written ({error.strerror})", "Free space, or choose another --out.")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _plain(file: str) -> str:
    """Return a path that no spreadsheet takes for a formula; "./=a.png" is the same file."""
    return f"./{file}" if file.startswith(FORMULA) else file
