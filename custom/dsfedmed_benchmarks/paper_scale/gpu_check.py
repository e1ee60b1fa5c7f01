# SPDX-License-Identifier: Apache-2.0
"""One round of every stage of DSFedMed at the paper's size with random weights: does it run, how long, how much memory.

The stages are those of `paper_round`. Seconds of the last pass are the ones to reckon with: the first also sets up the
device's kernels. A stage that fails ends the check with an error that names it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from dsfedmed.errors import ConfigError, DSFedMedError
from dsfedmed_benchmarks.measurement.clock import timed
from dsfedmed_benchmarks.measurement.process_memory import peak_mib, reset_peak
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment
from dsfedmed_benchmarks.paper_scale.stages import STAGES, CheckOptions, Round, Work

COLUMNS = ("stage", "work", "first (s)", "again (s)", "images/s", "peak memory (GiB)")
MIB_A_GIB = 1024


def run(options: CheckOptions, on_row: Callable[[list[Cell]], None] | None = None) -> Benchmark:
    """Run every stage and return the table.

    Args:
        options: what and where.
        on_row: called with each row as it is measured.

    Raises:
        DSFedMedError: a stage failed; the error names it.
    """
    device = options.torch_device
    rows: list[list[Cell]] = []
    with tempfile.TemporaryDirectory() as folder:
        _check_device(device)
        state = Round(options, Path(folder))
        for name, stage in STAGES:
            rows.append(_measured(name, stage, state, device))
            if on_row is not None:
                on_row(rows[-1])
    memory = "allocated on the GPU by torch" if device.type == "cuda" else "resident memory of the process"
    notes = (
        f"Scale {options.scale}, {options.images} images, batches of {options.batch_size}, {options.precision} unless "
        "the row says otherwise; random weights and images.",
        f"Each stage ran {options.passes} times; images/s are those of the last pass. Peak: {memory}, set-up included.",
        *state.facts.values(),
    )
    title = f"One round of every stage, scale {options.scale}"
    return Benchmark("gpu-check", title, COLUMNS, rows, notes, environment(device, **_card(device)))


def _check_device(device: torch.device) -> None:
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError("gpu-check --device", "torch sees no CUDA device here", "Give --device cpu --scale tiny")
    if device.type == "cuda":
        torch.cuda.init()  # or there are no memory counters yet to reset


def _measured(name: str, stage: Callable[[Round], Work], state: Round, device: torch.device) -> list[Cell]:
    """Prepare a stage, run it and return its row; whatever goes wrong is an error that names the stage."""
    try:
        _reset_peak(device)
        work = stage(state)
        walls = [timed(work.run, device)[1].wall for _ in range(state.options.passes)]
    except Exception as error:
        lines = str(error).strip().splitlines() or ["no message"]
        full = isinstance(error, torch.OutOfMemoryError)
        fix = "Lower --batch-size, or use a card with more memory" if full else "See the error that caused it"
        raise DSFedMedError(f"gpu-check, stage '{name}'", f"{type(error).__name__}: {lines[0]}", fix) from error
    again = walls[-1] if len(walls) > 1 else None
    return [name, work.text, walls[0], again, work.images / walls[-1] if work.images else None, _peak(device)]


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    else:
        reset_peak()


def _peak(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return peak_mib() / MIB_A_GIB


def _card(device: torch.device) -> dict[str, str | int | float]:
    """Return what the environment says of a GPU beside its name."""
    if device.type != "cuda":
        return {}
    memory = torch.cuda.get_device_properties(device).total_memory / 2**30
    return {"gpu memory (GiB)": round(memory, 1), "cuda": str(torch.version.cuda)}
