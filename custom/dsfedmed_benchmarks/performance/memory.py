# SPDX-License-Identifier: Apache-2.0
"""The server's peak memory against the number of sites.

A real NVFlare federation in which every site answers a round with a random update of the light network's shapes, all
at the same moment; the server averages them by the very code of the product. Measured is the resident memory of the
process that holds the server, its peak reset before each round.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsfedmed_benchmarks.dummy_sites.federation import network_shapes, simulate_random_updates
from dsfedmed_benchmarks.measurement.process_memory import MIB
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment

COLUMNS = ("sites", "before the rounds (MiB)", "peak of a round (MiB)", "above (MiB)", "seconds a round")


@dataclass(frozen=True)
class MemoryOptions:
    """What is run.

    Attributes:
        sites: numbers of sites.
        rounds: rounds of each federation.
        network: whose tensors travel, "tiny_sam" or "small".
        work: where the federations run; those folders are emptied first.
    """

    sites: tuple[int, ...] = (2, 8, 16)
    rounds: int = 4
    network: str = "tiny_sam"
    work: Path = Path("runs/bench/memory")


def run(options: MemoryOptions) -> Benchmark:
    """Run a federation for each number of sites."""
    rows = []
    for sites in options.sites:
        folder = options.work / f"{options.network}-{sites}"
        shutil.rmtree(folder, ignore_errors=True)
        rows.append(row_of(sites, simulate_random_updates(options.network, sites, options.rounds, folder)["memory"]))
    numbers = sum(_numel(shape) for shape in network_shapes(options.network).values())
    notes = (
        f"{options.network}: {numbers:,} numbers, {2 * numbers / MIB:.1f} MiB in float16 each way, {options.rounds} "
        "rounds; the table has the highest peak and the mean time of a round.",
        "NVFlare's simulator: its main process holds the server and relays for all simulated sites. All sites send at "
        "the same moment.",
    )
    return Benchmark("memory", "Server peak memory by number of sites", COLUMNS, rows, notes, environment())


def row_of(sites: int, noted: dict[str, Any]) -> list[Cell]:
    """Return a row of the table from what a server noted; seconds without the wait for each other."""
    peak = max(entry["peak_mib"] for entry in noted["rounds"])
    seconds = [entry["seconds"] - entry["waited"] for entry in noted["rounds"][1:] or noted["rounds"]]
    return [sites, noted["start_mib"], peak, peak - noted["start_mib"], sum(seconds) / len(seconds)]


def _numel(shape: tuple[int, ...]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total
