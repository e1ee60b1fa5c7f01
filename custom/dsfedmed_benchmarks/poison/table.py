# SPDX-License-Identifier: Apache-2.0
"""The outcomes of runs with a bad site, kept one by one, and the table of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dsfedmed.settings import Settings
from dsfedmed.store.files import read_json, write_json
from dsfedmed_benchmarks.measurement.table import Benchmark, environment
from dsfedmed_benchmarks.measurement.table import Cell as TableCell
from dsfedmed_benchmarks.poison.federation import HONEST, WITHOUT, Outcome

NOTHING = {"rule": "mean", "gate_norm": 0.0, "trials": False}
"""What version 0.4.0 did: every update that fits its network counts."""
RULES: dict[str, dict[str, Any]] = {
    "default": {},
    "none": NOTHING,
    "median": {**NOTHING, "rule": "median"},
    "trimmed mean": {**NOTHING, "rule": "trimmed_mean"},
    "geometric median": {**NOTHING, "rule": "geometric_median"},
    "norm clipping": {**NOTHING, "rule": "norm_clipping"},
}
"""Settings of `robust` by name; multi-Krum needs five sites."""
TRAINING: dict[str, Any] = {
    "image_size": 64,
    "min_sites": 2,
    "light": {"rate_schedule": "cosine", "keep_optimizer": False, "clip_norm": 5.0, "batch_size": 8},
    "light_settings": {"optimizer": "sgd", "learning_rate": 0.1},
    "teacher_variant": "tiny",
}
"""FedAvg as it is tuned in the benchmark of few rounds, at one pass a round."""
COLUMNS = ("bad site", "behaviour", "rule", "others' Dice (%)", "against without it", "against honest",
           "refused updates (bad / honest)", "verdict")  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One run: which site is how, under which rule."""

    bad: str
    behaviour: str
    rule: str
    rounds: int
    seed: int

    @property
    def title(self) -> str:
        """Name for people."""
        return f"{self.bad}, {self.behaviour}, rule {self.rule}, {self.rounds} rounds, seed {self.seed}"

    @property
    def name(self) -> str:
        """Name of its file."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower())

    def settings(self) -> Settings:
        """Return the settings of the run."""
        values = {**TRAINING, "preset": "poison", "rounds": self.rounds, "seed": self.seed}
        least = 3 if self.rule == "trimmed mean" else TRAINING["min_sites"]
        return Settings.from_dict({**values, "min_sites": least, "robust": RULES[self.rule]})


class Cells:
    """Outcomes of runs, a file each.

    Args:
        folder: of the files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, cell: Cell) -> bool:
        """Tell whether a run is there."""
        return self._path(cell).exists()

    def get(self, cell: Cell) -> Outcome:
        """Return a run's outcome."""
        outcome: Mapping[str, Any] = read_json(self._path(cell))["outcome"]
        return Outcome(**{**outcome, "refused": [tuple(one) for one in outcome["refused"]]})

    def keep(self, cell: Cell, outcome: Outcome) -> None:
        """Write a run's outcome."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_json(self._path(cell), {"cell": asdict(cell), "outcome": outcome.to_dict()})

    def _path(self, cell: Cell) -> Path:
        return self._folder / f"{cell.name}.json"


def rules_of(behaviour: str, rules: Sequence[str]) -> list[str]:
    """Return under which rules a behaviour is run: an honest run under the default and without any, to compare them."""
    if behaviour == WITHOUT:
        return ["default"]
    return ["default", "none"] if behaviour == HONEST else list(rules)


def others_dice(outcome: Outcome, bad: str) -> float | None:
    """Return the mean over the other sites of their mean test Dice, 0 to 1; None where the run did not end."""
    found = [dice for site, dice in outcome.dice.items() if site != bad]
    return sum(found) / len(found) if found else None


def table_of(name: str, cells: Cells, wanted: Sequence[Cell]) -> Benchmark:
    """Return the table of what is there."""
    there = [cell for cell in wanted if cells.has(cell)]
    honest = next((cells.get(cell) for cell in there if cell.behaviour == HONEST and cell.rule == "default"), None)
    without = {cell.bad: cells.get(cell) for cell in there if cell.behaviour == WITHOUT}
    rows = []
    for cell in sorted(there, key=lambda one: (one.behaviour not in (HONEST, WITHOUT), one.rule != "default", one.bad)):
        outcome = cells.get(cell)
        shown = others_dice(outcome, "" if cell.behaviour == HONEST else cell.bad)
        rows.append([
            "none" if cell.behaviour == HONEST else cell.bad, cell.behaviour, cell.rule, _percent(shown),
            _difference(shown, without.get(cell.bad), cell), _difference(shown, honest, cell),
            _refusals(outcome, cell), outcome.verdict.partition(":")[0],
        ])  # fmt: skip
    missing = len(wanted) - len(there)
    notes = [
        "Dice of the other sites' test images, mean over these sites, in percent; differences in points, of the same "
        "sites. Every site is a source; the seed, the rounds and all else are the same.",
        "Rule: `default` is the mean with gate and trials; the others have neither (`none` is the plain mean).",
        f"{len(there)} of {len(wanted)} runs; {missing} are not there." if missing else f"All {len(there)} runs.",
    ]
    return Benchmark(name, f"One bad site among the sites of {name}", COLUMNS, rows, notes, environment())


def _percent(dice: float | None) -> TableCell:
    return None if dice is None else round(100 * dice, 1)


def _difference(dice: float | None, against: Outcome | None, cell: Cell) -> TableCell:
    other = None if against is None or cell.behaviour == HONEST else others_dice(against, cell.bad)
    return None if dice is None or other is None else round(100 * (dice - other), 1)


def _refusals(outcome: Outcome, cell: Cell) -> str:
    bad = 0 if cell.behaviour == HONEST else sum(site == cell.bad for _, site, _ in outcome.refused)
    return f"{bad} / {len(outcome.refused) - bad}"
