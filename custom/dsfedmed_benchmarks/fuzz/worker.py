# SPDX-License-Identifier: Apache-2.0
"""The child process that reads damaged files one after the other and reports each to its parent."""

from __future__ import annotations

import os
import resource
import shutil
import time
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from dsfedmed.data.files.limits import MAX_BYTES
from dsfedmed_benchmarks.fuzz.damage import cut
from dsfedmed_benchmarks.fuzz.damaged import damaged
from dsfedmed_benchmarks.fuzz.seed import DATALIST
from dsfedmed_benchmarks.fuzz.trial import CRASH, FAULTS, MEMORY, Outcome, try_datalist, try_image
from dsfedmed_benchmarks.measurement.process_memory import MIB, peak_mib, reset_peak, resident_mib

BOUND_MIB = MAX_BYTES / MIB
"""What a reading may take above what the process had before (MiB): `data.files.limits` allows 2 GiB of pixels."""
ADDRESSES = 8 * 1024**3
"""Bytes of addresses that the child may have, so that a file that asks for more does not take the machine down."""


@dataclass(frozen=True)
class Report:
    """One reading: its outcome, how much memory it took above what was there (MiB), and its seconds."""

    outcome: Outcome
    above_mib: float
    seconds: float


def work(connection: Connection, seed: int, folder: str) -> None:
    """Read the files whose numbers arrive, until None does; what decoders write to stderr goes to a file."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    log = os.open(Path(folder) / "stderr.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    warnings.simplefilter("ignore")
    while (number := connection.recv()) is not None:
        connection.send(report_of(number, seed, Path(folder) / str(number)))


def report_of(number: int, seed: int, folder: Path) -> Report:
    """Write the damaged file of a number into a folder, read it, and remove the folder."""
    found = damaged(number, seed)
    target = found.seed.write(folder, found.content)
    whole = found.seed.write(folder / "whole") if found.damage == cut.__name__ else None
    reset_peak()
    before, start = resident_mib(), time.perf_counter()
    outcome = try_datalist(target) if found.seed.kind == DATALIST else try_image(target, whole)
    seconds, above = time.perf_counter() - start, peak_mib() - before
    shutil.rmtree(folder)
    if above > BOUND_MIB and outcome.kind not in FAULTS:
        outcome = Outcome(MEMORY, f"{above:.0f} MiB")
    return Report(outcome, above, seconds)


def ended(code: int | None, folder: Path) -> Outcome:
    """Return the outcome of a child that died, with the last line that it wrote."""
    lines = (folder / "stderr.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return Outcome(CRASH, f"the process ended with {code}: {lines[-1] if lines else ''}")
