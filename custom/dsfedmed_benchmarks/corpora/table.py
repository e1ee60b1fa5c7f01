# SPDX-License-Identifier: Apache-2.0
"""Packaged files by package and format: read, refused, and like the plain reading."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from dsfedmed_benchmarks.corpora.plain import ALIKE
from dsfedmed_benchmarks.corpora.reading import READ, REFUSED, TRACEBACK, Reading
from dsfedmed_benchmarks.measurement.readers import reader_versions
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment

COLUMNS = ("package", "format", "files", READ, REFUSED, TRACEBACK, "as its library reads it", "otherwise")


def table_of(readings: Sequence[Reading], name: str, looked: str) -> Benchmark:
    """Return the table; every refusal, and every reading that differs from the plain one, is named in a note."""
    groups = list(dict.fromkeys((one.file.package, one.file.kind) for one in readings))
    rows = [_row(*group, [one for one in readings if (one.file.package, one.file.kind) == group]) for group in groups]
    return Benchmark(
        name,
        "Image files that installed packages bring: how they are read",
        COLUMNS,
        [*rows, _row("all", "", list(readings))],
        (
            "Of volumes and clips the first, middle and last slice are read. As its library reads it: a correlation of "
            f"at least {ALIKE} with pydicom's, Pillow's or NumPy's own reading of the same picture, or at "
            "500 places in millimetres with nibabel's; where neither count stands, there is no plain reading.",
            *([looked] if looked else []),
            *_differing(readings),
            *_reasons(readings, TRACEBACK),
            *_reasons(readings, REFUSED),
        ),
        environment(**reader_versions()),
    )


def differs(reading: Reading) -> bool:
    """Whether our reading shows something else than the plain one."""
    return reading.alike is not None and reading.alike < ALIKE


def _row(package: str, kind: str, readings: Sequence[Reading]) -> list[Cell]:
    counts = Counter(reading.outcome for reading in readings)
    compared = [reading for reading in readings if reading.alike is not None]
    other = sum(map(differs, compared))
    outcomes = [counts[outcome] for outcome in (READ, REFUSED, TRACEBACK)]
    return [package, kind, len(readings), *outcomes, len(compared) - other, other]


def _differing(readings: Sequence[Reading]) -> list[str]:
    found = [f"Otherwise: {one.file.name}, correlation {one.alike:.3f}" for one in readings if differs(one)]
    return [*found, *(f"No plain reading: {one.file.name} ({_plain(one.plain_error)})" for one in _without(readings))]


def _without(readings: Sequence[Reading]) -> list[Reading]:
    return [reading for reading in readings if reading.plain_error]


def _reasons(readings: Sequence[Reading], outcome: str) -> list[str]:
    names: dict[str, list[str]] = {}
    for reading in readings:
        if reading.outcome == outcome:
            names.setdefault(_plain(reading.reason), []).append(reading.file.name.rpartition("/")[2])
    return [f"{outcome.capitalize()}, {len(files)}: {reason}: {', '.join(files)}" for reason, files in names.items()]


def _plain(text: str) -> str:
    """Return words on one line without paths of the machine and without what would end a table's cell."""
    return re.sub(r"/(?:[\w.+-]+/)+", "", " ".join(text.split())).replace("|", "/")
