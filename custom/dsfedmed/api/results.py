# SPDX-License-Identifier: Apache-2.0
"""What a run came to, for programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One method's line of the table: mean Dice of the test images in percent, None where there is none.

    Attributes:
        method: its name in tables.
        seen: mean over the sites that took part.
        unseen: mean over the sites held out.
        sites: by site.
    """

    method: str
    seen: float | None
    unseen: float | None
    sites: dict[str, float | None]


@dataclass(frozen=True)
class Results:
    """The results of a run folder.

    Attributes:
        run: the run folder.
        figures: everything, as in results.json (schema: ``custom/dsfedmed/reporting/results.schema.json``).
    """

    run: Path
    figures: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, run: str | Path) -> Results:
        """Read a run's results.

        Raises:
            StoreError: there are none, or they are not of this format.
        """
        from dsfedmed.reporting.results import load_results

        return cls(Path(run), load_results(Path(run)))

    @property
    def complete(self) -> bool:
        """Whether the run did everything it was to do; `verdict` says what is missing."""
        return self.verdict == "complete"

    @property
    def verdict(self) -> str:
        """The run's own verdict."""
        return str(self.figures["verdict"])

    @property
    def report(self) -> Path:
        """The page of the run."""
        return self.run / "report.html"

    @property
    def release(self) -> Path:
        """The MONAI bundle of the light network (or of pFedSAM's global branch), for `dsfedmed.load`."""
        return self.run / "release"

    def table(self) -> list[Row]:
        """Return a row for every method that was scored, in the order of the report."""
        from dsfedmed.methods import MODELS

        sites = [*self.figures["sites"], *self.figures["unseen"]]
        found = self.figures["methods"]
        return [_row(model.name, found[model.key], sites) for model in MODELS if found.get(model.key) is not None]

    def __str__(self) -> str:
        """Return the table as the console shows it."""
        from dsfedmed.reporting.terminal import summary_text

        return summary_text(self.figures)


def _row(name: str, entry: dict[str, Any], sites: list[str]) -> Row:
    dice = {site: entry["per_site"].get(site, {}).get("dice", {}).get("mean") for site in sites}
    return Row(name, entry["seen_dice"], entry["unseen_dice"], dice)
