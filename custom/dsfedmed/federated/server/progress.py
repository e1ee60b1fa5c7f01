# SPDX-License-Identifier: Apache-2.0
"""Live progress: one line per milestone on the console, and ``status.json`` for everything that polls."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dsfedmed.errors import without_paths
from dsfedmed.site_names import with_own_names
from dsfedmed.store.files import write_json

LOGGER_NAME = "dsfedmed.progress"
LOGGER = logging.getLogger(LOGGER_NAME)
SHOWN = 6
"""Sites named in a line of steps; of more, the slowest."""
LINE_S = 5.0
"""Least seconds between two such lines, however many sites there are."""


def clock(seconds: float) -> str:
    """Return a duration as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Progress:
    """Tells where the run stands: stage k of n, step, site, and the time the stage still needs.

    Args:
        folder: the run folder.
        stages: names of the run's stages, in order.
        own_names: names that people are shown by the names that travel, of the sites where the two differ.
    """

    def __init__(
        self, folder: Path, stages: tuple[str, ...], own_names: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.own_names = own_names
        self.path = folder / "status.json"
        self.stages = stages
        self.started = time.monotonic()
        self.stage_started = self.started
        self.state: dict[str, Any] = {"stage": None, "stages": list(stages), "step": None, "sites": {}}
        self._lock = threading.RLock()  # sites report their steps in another thread
        self._task = ""
        self._asked: set[str] = set()
        self._task_started = self._line_written = self.started
        self._steps: dict[str, tuple[int, int]] = {}

    def stage(self, name: str, resumed: bool = False) -> None:
        """Enter a stage."""
        self.stage_started = time.monotonic()
        number = self.stages.index(name) + 1 if name in self.stages else len(self.stages)
        with self._lock:
            self.state.update(stage=name, number=number, step=None, eta_s=None, resumed=resumed)
            self.say("already finished, skipped" if resumed else "started")

    def step(self, done: int, total: int, detail: str = "", since: int = 0) -> None:
        """Report that ``done`` of ``total`` steps of the stage are behind us (``since`` of them in an earlier run).

        ``total`` is an estimate where a stage ends by a count of something else: one that is exceeded grows.
        """
        total = max(total, done)
        spent = time.monotonic() - self.stage_started
        eta = spent / max(done - since, 1) * max(total - done, 0)
        with self._lock:
            self.state.update(step=[done, total], eta_s=round(eta, 1))
            self.say(f"{done}/{total}{'  ' + detail if detail else ''}  stage ETA {clock(eta)}")

    def site(self, site: str, state: str) -> None:
        """Note what a site did last; shown with the next line and in ``status.json``."""
        with self._lock:
            self.state["sites"][site] = state
            self._asked.discard(site)
            self._steps.pop(site, None)

    def task(self, name: str, sites: Iterable[str]) -> None:
        """Note that ``sites`` begin a task; only theirs, and only of this task, are the steps that are shown."""
        with self._lock:
            self._task, self._asked, self._steps = name, set(sites), {}
            self._task_started = time.monotonic()
            self._line_written = self._task_started - LINE_S  # a task's first report is shown at once

    def site_step(self, site: str, task: str, done: int, total: int) -> None:
        """Note that a site has done ``done`` of ``total`` steps of a task; a line shows it, at most every ``LINE_S``.

        A report that comes behind the site's reply, or of a task that the run has left behind, is not shown.
        """
        with self._lock:
            if task != self._task or site not in self._asked:
                return
            self._steps[site] = (done, total)
            self.state["sites"][site] = f"{task}: {done} of {total} steps"
            now = time.monotonic()
            if now - self._line_written >= LINE_S:
                self._line_written = now
                self.say(self._steps_line(now - self._task_started))

    def _steps_line(self, spent: float) -> str:
        """Return the steps of each site, and the time that the slowest still needs."""
        slowest = sorted(self._steps, key=lambda site: (self._steps[site][0] / self._steps[site][1], site))
        named = ", ".join("{} {}/{}".format(site, *self._steps[site]) for site in sorted(slowest[:SHOWN]))
        others = f" and {len(slowest) - SHOWN} sites that are ahead" if len(slowest) > SHOWN else ""
        done, total = self._steps[slowest[0]]
        return f"{named}{others}  task ETA {clock(spent * (total - done) / max(done, 1))}"

    def say(self, text: str, beside: str = "") -> None:
        """Write one line and the status file, which may be passed on and says no path.

        Args:
            text: what there is to say.
            beside: of the line alone.
        """
        with self._lock:
            elapsed = time.monotonic() - self.started
            head = f"[{clock(elapsed):>7}]{self._place()}"
            said = {**self.state, "elapsed_s": round(elapsed, 1), "last": text}
            shown = with_own_names(said, self.own_names)
            LOGGER.info("%s %s%s", head, shown["last"], beside)
            shown["last"] = without_paths(str(shown["last"]), [self.path.parent])
            write_json(self.path, shown)

    def _place(self) -> str:
        """Return which stage of how many this is; nothing before the first."""
        stage = self.state["stage"]
        return "" if stage is None else f" {self.state['number']}/{len(self.stages)} {stage}:"
