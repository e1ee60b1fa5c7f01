# SPDX-License-Identifier: Apache-2.0
"""What a benchmark gives back: one table with where and when it was measured, as JSON and as Markdown."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from dsfedmed.errors import DSFedMedError
from dsfedmed.store.files import write_json, write_text

Cell = str | int | float | None
SIGNIFICANT_DIGITS = 4


def environment(device: str | torch.device = "cpu", **more: str | int | float) -> dict[str, str | int | float]:
    """Return when and on what a benchmark runs: date, CPU, cores, threads, versions, device, and ``more``."""
    device = torch.device(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    facts: dict[str, str | int | float] = {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": name,
    }
    return {**facts, **more}


@dataclass(frozen=True)
class Benchmark:
    """A benchmark's table.

    Attributes:
        name: of the benchmark, and of the files.
        title: one line above the table.
        columns: headings, each with its unit.
        rows: one cell a column; None where a figure does not apply.
        notes: how it was measured and what the reader must know, one sentence or two each.
        environment: when and on what, see `environment`.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    environment: Mapping[str, str | int | float] = field(default_factory=environment)

    def __post_init__(self) -> None:
        """Raise ``DSFedMedError`` unless every row has one cell a column."""
        for row in self.rows:
            if len(row) != len(self.columns):
                reason = f"a row has {len(row)} cells for {len(self.columns)} columns"
                raise DSFedMedError(f"benchmark {self.name}", reason, "Give one cell for each column")

    def to_dict(self) -> dict[str, Any]:
        """Return the table as JSON-ready values."""
        return asdict(self)

    def to_markdown(self) -> str:
        """Return title, table, notes and environment; numbers at four significant digits and to the right."""
        sides = ["---:" if self._is_numeric(place) else "---" for place in range(len(self.columns))]
        lines = [f"## {self.title}", "", _line(self.columns), _line(sides)]
        lines += [_line([_text(cell) for cell in row]) for row in self.rows]
        lines += ["", *(f"- {note}" for note in self.notes)]
        lines += [f"- {', '.join(f'{key} {value}' for key, value in self.environment.items())}"]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write ``<folder>/<name>.json`` and ``<name>.md``, atomically; return both paths."""
        table, text = folder / f"{self.name}.json", folder / f"{self.name}.md"
        write_json(table, self.to_dict())
        write_text(text, self.to_markdown())
        return table, text

    def _is_numeric(self, place: int) -> bool:
        return any(isinstance(row[place], (int, float)) for row in self.rows)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _text(cell: Cell) -> str:
    """Return a cell as text: floats at four significant digits and never in powers of ten, an empty one for None."""
    if cell is None:
        return ""
    if not isinstance(cell, float):
        return f"{cell:,}" if isinstance(cell, int) else cell
    digits = len(str(int(abs(cell)))) if abs(cell) >= 1 else 0
    if digits >= SIGNIFICANT_DIGITS:
        return f"{cell:,.0f}"
    return f"{cell:.{SIGNIFICANT_DIGITS}g}" if abs(cell) >= 1e-4 or cell == 0 else f"{cell:.6f}"


def _cpu_model() -> str:
    """Return the CPU's name: Linux tells it in /proc only."""
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        for line in facts.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
