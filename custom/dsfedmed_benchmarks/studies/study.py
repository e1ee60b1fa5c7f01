# SPDX-License-Identifier: Apache-2.0
"""Many runs of jobs, one after another or some at once; what is complete is not done again.

A run's folder holds its record. Records of complete runs may also be kept apart from the run folders, which are large:
a table of many hours can then be made on more than one machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock

from dsfedmed.cli.job import planned_settings
from dsfedmed.methods import METHODS
from dsfedmed.reporting.record import Record
from dsfedmed.settings import Settings
from dsfedmed_benchmarks.studies.benchmark_settings import require_planned
from dsfedmed_benchmarks.studies.records import PackedRecords, RecordFolder, open_records


@dataclass(frozen=True)
class JobRun:
    """One run.

    Attributes:
        name: of its folder.
        command: without ``--out``.
        planned: the settings that it will have.
        source: the run whose stages it reuses, if that one is complete by then.
    """

    name: str
    command: tuple[str, ...]
    planned: Settings
    source: str = ""


@dataclass(frozen=True)
class Study:
    """The runs of a table.

    Attributes:
        runs: in the order in which they are made.
        out: gets one folder per run.
        records: records of complete runs besides: a folder, to which new ones are copied, or part of an archive,
            which is only read; None for neither.
    """

    runs: tuple[JobRun, ...]
    out: Path
    records: RecordFolder | PackedRecords | None = None

    def found(self) -> list[Record]:
        """Return the record of every run that has one."""
        return [record for run in self.runs if (record := self.record(run)) is not None]

    def lacking(self) -> list[JobRun]:
        """Return the runs that are not complete."""
        return [run for run in self.runs if (record := self.record(run)) is None or not record.complete]

    def record(self, run: JobRun) -> Record | None:
        """Return a run's complete record, wherever it is kept, or that of an unfinished run; None without any."""
        kept = [RecordFolder(self.out), *([self.records] if self.records else [])]
        found = [record for place in kept if (record := place.load(run.name)) is not None]
        return next((record for record in found if record.complete), found[0] if found else None)

    def make(self, after_each: Callable[[], object], at_once: int = 1) -> None:
        """Make what is lacking, ``at_once`` runs at a time; ``after_each`` is never called twice at a time.

        A run that fails is left as it is and the next is made; the same call resumes it later. An error of
        ``after_each``, or an interrupt, ends the study: runs that have not begun are not begun.

        Raises:
            ConfigError: a run that is there has other settings than it would have now; said before any is made.
        """
        for run in self.runs:
            if (record := self.record(run)) is not None:
                require_planned(record, run.planned)
        lacking, one_at_a_time, ended = self.lacking(), Lock(), Event()

        def one(numbered: tuple[int, JobRun]) -> None:
            number, run = numbered
            if ended.is_set():
                return
            print(f"run {number} of {len(lacking)}: {run.name}", flush=True)
            words = [*run.command, "--out", str(self.out / run.name), *self._reused(run)]
            subprocess.run(words, env={"OMP_NUM_THREADS": "1", **os.environ}, check=False)
            try:
                with one_at_a_time:
                    self.keep()
                    after_each()
            except BaseException:
                ended.set()
                raise

        pool = ThreadPoolExecutor(max_workers=at_once)
        try:
            list(pool.map(one, enumerate(lacking, start=1)))
        finally:
            ended.set()  # an interrupt comes here, and not to the threads
            pool.shutdown(cancel_futures=True)

    def _reused(self, run: JobRun) -> list[str]:
        """Name the run whose stages to reuse: its whole folder must be there, a kept record is not enough."""
        source = RecordFolder(self.out).load(run.source) if run.source else None
        return ["--reuse", str(self.out / run.source)] if source is not None and source.complete else []

    def keep(self) -> None:
        """Copy the records of complete runs to the folder of records, if there is one."""
        if isinstance(self.records, RecordFolder):
            for record in self.found():
                if record.complete and record.run.parent != self.records.folder:
                    self.records.keep(record)


def records_argument(path: Path | None) -> RecordFolder | PackedRecords | None:
    """Return the records that the commands' ``--records`` names, None without it."""
    return None if path is None else open_records(path)


def job_run(name: str, jobs: Path, method: str, sites: Path, words: Sequence[str], source: str = "") -> JobRun:
    """Return a run of a method, in this interpreter, with its sites and what else its command line is given."""
    folder = jobs / (METHODS[method].job or method)
    script = (str(folder / "job.py"),) if (folder / "job.py").is_file() else ("-m", "dsfedmed.cli.main", "run", method)
    command = (sys.executable, *script, "--sites", str(sites), *words)
    return JobRun(name, command, planned_settings(method, folder, words), source)
