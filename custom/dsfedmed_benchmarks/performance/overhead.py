# SPDX-License-Identifier: Apache-2.0
"""Wall time of a federation through NVFlare over the same federation through the local transport.

Both ways run the whole workflow on the same site folders with the same settings and seed, first in NVFlare's simulator,
then by `dsfedmed.federated.local`, each in a fresh process and with one worker process per site. They end with the same
weights to the last bit, which is checked, so the ratio compares the same work. Sites and server are the same code in
both, with the stage store, record, report, wire formats and kept replies; and messages go to a worker and back through
files. What NVFlare alone does is in its time: its own processes, the cell with its serialisation and the hashes of
tensors, the task queue, the filters, the file streaming and the tracking. Locally a message is handed over in memory,
and an offered file is copied.
"""

from __future__ import annotations

import multiprocessing
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dsfedmed.errors import ConfigError, DSFedMedError
from dsfedmed.federated.local.simulation import simulate_locally
from dsfedmed.federated.party.layout import SimulatedSites, site_names
from dsfedmed.flare.simulation import simulate
from dsfedmed.flare.workspace import prepare_workspace
from dsfedmed.settings import Settings, merge, parse_override, read_preset
from dsfedmed.store.files import read_json, read_tensors
from dsfedmed_benchmarks.measurement.process_time import CpuClock
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment

PRESETS = Path("jobs/dsfedmed/presets")
METHOD = "dsfedmed"
COLUMNS = ("stage", "NVFlare (s)", "local transport (s)", "ratio")
COMPARED = f"training-{METHOD}"
"""Entry of the stage store with the light network's weights."""
NVFLARE, LOCAL = "nvflare", "local"
"""Names of the two run folders."""


@dataclass(frozen=True)
class OverheadOptions:
    """What is run.

    Attributes:
        sites: folder with one folder per site.
        unseen: site held out until the end.
        preset: name of a file in jobs/dsfedmed/presets, or a path.
        set: settings to override, as KEY=VALUE.
        teacher: teacher weights.
        bundles: folder of the bundles.
        work: where both runs go; it is emptied first.
    """

    sites: Path
    unseen: str
    preset: str = "cpu"
    set: tuple[str, ...] = ()
    teacher: Path | None = None
    bundles: Path = Path("bundles")
    work: Path = Path("runs/bench/overhead")


@dataclass(frozen=True)
class Timing:
    """One way's times in seconds.

    Attributes:
        stages: wall time of each stage.
        whole: wall time of the whole command, start and end of the processes included.
        cpu: CPU time of all its processes.
    """

    stages: dict[str, float]
    whole: float
    cpu: float

    @property
    def work(self) -> float:
        """All stages together."""
        return sum(self.stages.values())


def run(options: OverheadOptions) -> Benchmark:
    """Run both ways and compare them.

    Raises:
        ConfigError: a setting is wrong, or the work folder is not one of this benchmark.
        DSFedMedError: a run did not complete, or the two ended with different weights.
    """
    settings = settings_of(options)
    names = site_names(options.sites)
    _empty(options.work)
    nvflare = measure(_through_nvflare, settings, _layout(options, NVFLARE))
    local = measure(_locally, settings, _layout(options, LOCAL))
    require_equal_weights(options.work / NVFLARE, options.work / LOCAL)
    notes = (
        f"Preset {settings.preset}, seed {settings.seed}, {len(names)} sites, one of them unseen"
        + (f"; {', '.join(options.set)}." if options.set else "."),
        "NVFlare: its simulator. Local transport: no cell, no task queue, no filter, no file streaming. In both, one "
        "worker process per site, messages to and from it through files, same threads, same store, record and report.",
        "Both ended with the same weights to the last bit.",
        "The last two rows include the start and the end of all processes.",
    )
    title = "Wall time of a federation through NVFlare over the local transport"
    return Benchmark("overhead", title, COLUMNS, rows_of(nvflare, local), notes, environment())


def settings_of(options: OverheadOptions) -> Settings:
    """Lay the overrides over the preset."""
    is_path = options.preset.endswith((".yaml", ".yml"))
    path = Path(options.preset) if is_path else PRESETS / f"{options.preset}.yaml"
    values = read_preset(path)
    for text in options.set:
        values = merge(values, parse_override(text))
    return Settings.from_dict(merge(values, {"preset": path.stem, "unseen": [options.unseen]}), path.name)


def measure(
    way: Callable[[dict[str, Any], SimulatedSites], None], settings: Settings, layout: SimulatedSites
) -> Timing:
    """Run one way in a fresh process and return its times."""
    process = multiprocessing.get_context("spawn").Process(target=way, args=(settings.to_dict(), layout))
    started = time.monotonic()
    process.start()
    clock = CpuClock(int(process.pid or 0))
    process.join()
    whole, cpu = time.monotonic() - started, clock.stop()
    record_file = layout.run / "record.json"
    verdict = read_json(record_file)["verdict"] if record_file.exists() else "the run did not start"
    if process.exitcode != 0 or verdict != "complete":
        raise DSFedMedError(layout.run, f"ended with {verdict}", "Read the log files there")
    return Timing({stage["name"]: float(stage["seconds"]) for stage in read_json(record_file)["stages"]}, whole, cpu)


def rows_of(nvflare: Timing, local: Timing) -> Sequence[Sequence[Cell]]:
    """Return a row a stage, then all stages together, the whole commands, and their CPU time."""
    pairs = [(name, nvflare.stages[name], local.stages[name]) for name in nvflare.stages]
    pairs += [("all stages", nvflare.work, local.work), ("whole command", nvflare.whole, local.whole)]
    pairs += [("CPU time of all processes", nvflare.cpu, local.cpu)]
    return [[name, one, other, one / other if other else None] for name, one, other in pairs]


def require_equal_weights(one: Path, other: Path) -> None:
    """Compare the final and the best weights of both runs.

    Raises:
        DSFedMedError: a name or a value differs.
    """
    ours, theirs = (final_weights(folder) for folder in (one, other))
    differing = sorted(ours.keys() ^ theirs.keys()) or [n for n in ours if not torch.equal(ours[n], theirs[n])]
    if differing:
        reason = f"{len(differing)} of {len(ours)} tensors differ from {one}, {differing[0]} first"
        raise DSFedMedError(other, reason, "Run both with one server thread; otherwise this is an error of dsfedmed")


def final_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the light network's final and best weights from a run's stage store."""
    return read_tensors(folder / "store" / read_json(folder / "store" / f"{COMPARED}.json")["file"])


def _layout(options: OverheadOptions, way: str) -> SimulatedSites:
    return SimulatedSites(options.sites, options.work / way, options.bundles, options.teacher)


def _through_nvflare(settings: dict[str, Any], layout: SimulatedSites) -> None:
    prepare_workspace(layout.run / "nvflare" / METHOD, layout)
    if simulate(Settings.from_dict(settings), site_names(layout.sites), layout.run, METHOD) != "complete":
        raise SystemExit(1)


def _locally(settings: dict[str, Any], layout: SimulatedSites) -> None:
    simulate_locally(METHOD, Settings.from_dict(settings), layout, processes=True)


def _empty(folder: Path) -> None:
    known = {NVFLARE, LOCAL}
    if folder.exists():
        strange = sorted(path.name for path in folder.iterdir() if path.name not in known)
        if strange:
            raise ConfigError(folder, f"holds {strange[0]}, which is not of this benchmark", "Give another --work")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
