# SPDX-License-Identifier: Apache-2.0
"""Time a piece of work twice: on the wall, and in CPU seconds of this process.

On a CPU the second is the one to compare by: other processes on the machine do not count in it. On a GPU it is the
first, taken once the device has finished.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Spent:
    """Seconds of one piece of work.

    Attributes:
        wall: as on the wall.
        cpu: of all threads of this process; with more threads than free cores, waiting threads may spin and count.
        on_gpu: whether a GPU did the work.
    """

    wall: float
    cpu: float
    on_gpu: bool = False

    @property
    def seconds(self) -> float:
        """The seconds to compare by: on the wall where a GPU did the work, else of the CPU."""
        return self.wall if self.on_gpu else self.cpu

    def __add__(self, other: Spent) -> Spent:
        """Return both together."""
        return Spent(self.wall + other.wall, self.cpu + other.cpu, self.on_gpu or other.on_gpu)

    def __mul__(self, times: float) -> Spent:
        """Return the seconds of ``times`` such pieces."""
        return Spent(self.wall * times, self.cpu * times, self.on_gpu)


def timed(work: Callable[[], ResultT], device: torch.device) -> tuple[ResultT, Spent]:
    """Run ``work`` and return its result with the seconds it took."""
    _wait(device)
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    _wait(device)
    return result, Spent(time.perf_counter() - wall, time.process_time() - cpu, device.type == "cuda")


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
