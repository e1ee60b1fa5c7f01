# SPDX-License-Identifier: Apache-2.0
"""A few real steps of each kind of work on this machine, timed: what a piece costs, and the memory it took.

The product's own loops run, at the run's sizes, in one thread, on noise with blobs as masks; only reading and scoring
use images of a site. Each is run once before it is timed, as the first step sets up kernels and touches fresh memory.

On CPU cores the seconds are those of the process, which another program's work does not change; how much longer the
clock ran tells how busy the machine is. On a GPU they are the clock's.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from dsfedmed.data.datalist import SiteDatalist
from dsfedmed.planning.bench import Bench, Timed
from dsfedmed.planning.sizes import Networks


@dataclass(frozen=True)
class Calibration:
    """What was measured.

    Attributes:
        seconds: of one piece of each kind of work, on a machine that does nothing else.
        took: seconds of the whole calibration, by the clock.
        busy: how many times as long it took as it would have alone, from 1 on; 1 on a GPU, where that cannot be told.
        memory: peak of this process, bytes, libraries included; on a GPU, that of the card.
    """

    seconds: dict[str, float]
    took: float
    busy: float
    memory: int


def calibrate(
    networks: Networks, needed: Collection[str], datalist: SiteDatalist, device: str = "cpu", seed: int = 0
) -> Calibration:
    """Time the kinds of work that are needed.

    Args:
        networks: of the run.
        needed: kinds of work.
        datalist: of a site with training images.
        device: torch device.
        seed: of noise and order.

    Raises:
        DataError: an image cannot be read.
    """
    clock = time.perf_counter if torch.device(device).type == "cuda" else time.process_time
    started, alone = time.perf_counter(), clock()
    with one_thread(), tempfile.TemporaryDirectory() as folder:
        bench = Bench(networks, datalist, torch.device(device), seed, Path(folder))
        found = {unit: _piece(prepare(), clock) for unit, prepare in bench.all().items() if unit in needed}
    took = time.perf_counter() - started
    return Calibration(found, took, max(took / (clock() - alone), 1.0), peak_memory(device))


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread, as every party of a run does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def peak_memory(device: str) -> int:
    """Return the most memory that this process has had so far, bytes; that of the card for a CUDA device."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _piece(work: Timed, clock: Callable[[], float]) -> float:
    """Return the seconds of a piece, the second time that the work is done."""
    work()
    started = clock()
    pieces = work()
    return (clock() - started) / pieces
