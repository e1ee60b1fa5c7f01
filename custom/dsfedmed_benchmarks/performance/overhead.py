# SPDX-License-Identifier: Apache-2.0
"""Wall time of a federation through NVFlare over the bare loops that do the same steps.

Both ways run the whole workflow on the same site folders with the same settings and seed, first the federation in
NVFlare's simulator, then the local transport, each in a fresh process and with one process per
site. They end with the same weights to the last bit, which is checked, so the ratio compares the same work. Both write
the stage store, the record and the report; what only the federation does is in its time: processes of NVFlare, message
queue, digests, wire formats, kept replies, the byte ledger.
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
from dsfedmed.federated.local.transport import BareDSFedMed
from dsfedmed.federated.party.layout import SimulatedSites, site_names
from dsfedmed.flare.simulation import simulate
from dsfedmed.flare.workspace import prepare_workspace
from dsfedmed.settings import Settings, merge, parse_override, read_preset
from dsfedmed.store.files import read_json, read_tensors
from dsfedmed_benchmarks.measurement.process_time import CpuClock
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment

PRESETS = Path("jobs/dsfedmed/presets")
COLUMNS = ("stage", "federation (s)", "bare loops (s)", "ratio")
COMPARED = "training-dsfedmed"


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
    federation = measure(_federation, settings, names, _layout(options, "federation"))
    bare = measure(_bare, settings, names, _layout(options, "bare"))
    require_equal_weights(options.work / "federation", options.work / "bare")
    notes = (
        f"Preset {settings.preset}, seed {settings.seed}, {len(names)} sites, one of them unseen"
        + (f"; {', '.join(options.set)}." if options.set else "."),
        "Bare loops: one plain process per site, pipes, no NVFlare; same threads, same store, record and report.",
        "Both ended with the same weights to the last bit.",
        "The last two rows include the start and the end of all processes.",
    )
    title = "Wall time of a federation over the bare loops"
    return Benchmark("overhead", title, COLUMNS, rows_of(federation, bare), notes, environment())


def settings_of(options: OverheadOptions) -> Settings:
    """Lay the overrides over the preset."""
    is_path = options.preset.endswith((".yaml", ".yml"))
    path = Path(options.preset) if is_path else PRESETS / f"{options.preset}.yaml"
    values = read_preset(path)
    for text in options.set:
        values = merge(values, parse_override(text))
    return Settings.from_dict(merge(values, {"preset": path.stem, "unseen": [options.unseen]}), path.name)


def measure(
    way: Callable[[dict[str, Any], list[str], SimulatedSites], None],
    settings: Settings,
    names: list[str],
    layout: SimulatedSites,
) -> Timing:
    """Run one way in a fresh process and return its times."""
    process = multiprocessing.get_context("spawn").Process(target=way, args=(settings.to_dict(), names, layout))
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


def rows_of(federation: Timing, bare: Timing) -> Sequence[Sequence[Cell]]:
    """Return a row a stage, then all stages together, the whole commands, and their CPU time."""
    pairs = [(name, federation.stages[name], bare.stages[name]) for name in federation.stages]
    pairs += [("all stages", federation.work, bare.work), ("whole command", federation.whole, bare.whole)]
    pairs += [("CPU time of all processes", federation.cpu, bare.cpu)]
    return [[name, ours, theirs, ours / theirs if theirs else None] for name, ours, theirs in pairs]


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


def _federation(settings: dict[str, Any], names: list[str], layout: SimulatedSites) -> None:
    prepare_workspace(layout.run / "nvflare" / "dsfedmed", layout)
    if simulate(Settings.from_dict(settings), names, layout.run) != 0:
        raise SystemExit(1)


def _bare(settings: dict[str, Any], names: list[str], layout: SimulatedSites) -> None:
    prepare_workspace(layout.run / "bare", layout)
    BareDSFedMed(settings, layout.run / "bare" / "local", names).run()


def _empty(folder: Path) -> None:
    known = {"federation", "bare"}
    if folder.exists():
        strange = sorted(path.name for path in folder.iterdir() if path.name not in known)
        if strange:
            raise ConfigError(folder, f"holds {strange[0]}, which is not of this benchmark", "Give another --work")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
