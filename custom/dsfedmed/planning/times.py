# SPDX-License-Identifier: Apache-2.0
"""Seconds of every stage: how much work it is, times what a piece of it took in the calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dsfedmed.planning.scene import Scene
from dsfedmed.planning.traffic import is_comparison
from dsfedmed.planning.work import Units, work_of

LOW, HIGH = 0.7, 1.5
"""What an estimate may be wrong by: a calibration is seconds long and knows nothing of file systems and networks. One
run of 424 CPU seconds was estimated at 385."""


@dataclass(frozen=True)
class StageTime:
    """Seconds of a stage.

    Attributes:
        stage: its name.
        sites: of each site's own work.
        server: of the server's, during which the sites wait.
        comparison: whether it is for the comparison alone.
    """

    stage: str
    sites: dict[str, float]
    server: float
    comparison: bool

    def here(self, workers: int) -> float:
        """Return the seconds on one machine where so many sites work at the same time."""
        each = self.sites.values()
        return self.server + max(sum(each) / workers, max(each, default=0.0))

    @property
    def at_hospitals(self) -> float:
        """The seconds where every site has such a machine of its own."""
        return self.server + max(self.sites.values(), default=0.0)


def stage_times(scene: Scene, seconds: Mapping[str, float]) -> list[StageTime]:
    """Return the seconds of every stage.

    Args:
        scene: the planned run.
        seconds: of one piece of each kind of work.
    """
    found = []
    for stage in scene.stages:
        work = work_of(scene, stage)
        sites = {site: _seconds(units, seconds) for site, units in work.sites.items()}
        found.append(StageTime(stage, sites, _seconds(work.server, seconds), is_comparison(stage)))
    return found


def needed_units(scene: Scene) -> frozenset[str]:
    """Return the kinds of work that the run has at all: only these are calibrated."""
    found: set[str] = set()
    for stage in scene.stages:
        work = work_of(scene, stage)
        for units in (*work.sites.values(), work.server):
            found |= {unit for unit, count in units.items() if count}
    return frozenset(found)


def _seconds(units: Units, seconds: Mapping[str, float]) -> float:
    return sum(count * seconds[unit] for unit, count in units.items() if count)
