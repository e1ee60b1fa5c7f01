# SPDX-License-Identifier: Apache-2.0
"""Dice lost to the number format of the wire: FedAvg of the light network, format by format.

A row's difference to fp32 is that of the format and of the chaos of training alone; its standard error says how much
that is (`dsfedmed_benchmarks.measurement.bare_fedavg`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dsfedmed.options import require_choice
from dsfedmed_benchmarks.measurement.bare_fedavg import Federation, Outcome, Training, WireFormat
from dsfedmed_benchmarks.measurement.table import Benchmark, environment

COLUMNS = ("format", "error feedback", "up (KiB)", "down (KiB)", "Dice (%)", "lost against fp32", "standard error")
FORMATS = {
    "fp32": WireFormat("fp32", True),
    "fp16": WireFormat("fp16", True),
    "int8": WireFormat("int8", True),
    "int8-plain": WireFormat("int8", False),
}


@dataclass(frozen=True)
class Options(Training):
    """What is trained, and in which formats.

    Attributes:
        formats: what is compared with fp32: fp16, int8 (with error feedback) and int8-plain (without).
        work: folder where the outcome of each training is kept.
    """

    formats: tuple[str, ...] = ("fp16", "int8", "int8-plain")
    work: Path = Path("runs/bench/int8_dice")

    def __post_init__(self) -> None:
        """Refuse a format that there is not."""
        super().__post_init__()
        for name in self.formats:
            require_choice("formats", name, tuple(FORMATS))


def run(options: Options, say: Callable[[str], None] = print) -> Benchmark:
    """Train every format with every seed and compare with fp32."""
    federation = Federation.open(options)
    outcomes: dict[WireFormat, list[Outcome]] = {FORMATS[name]: [] for name in ("fp32", *options.formats)}
    for seed in range(options.seeds):
        for form, found in outcomes.items():
            found.append(federation.outcome(form, seed))
            say(f"seed {seed} {form.precision} feedback {form.feedback}: Dice {100 * found[-1].dice:.2f}")
    full = outcomes[FORMATS["fp32"]]
    return Benchmark(
        "int8_dice",
        "Dice lost to the number format of the wire",
        COLUMNS,
        [_row(form, found, full) for form, found in outcomes.items()],
        (
            options.described(),
            "The standard error is that of the paired difference. Bytes are those of one site in the last round, "
            "without framing; the first reference of int8 goes down whole, once.",
        ),
        environment(),
    )


def _row(form: WireFormat, found: list[Outcome], full: list[Outcome]) -> tuple[str | float | None, ...]:
    lost = [100 * (theirs.dice - ours.dice) for theirs, ours in zip(full, found, strict=True)]
    same = found is full
    return (
        form.precision,
        "" if form.precision == "fp32" else ("yes" if form.feedback else "no"),
        found[0].up / 1024,
        found[0].down / 1024,
        100 * statistics.fmean(outcome.dice for outcome in found),
        None if same else statistics.fmean(lost),
        None if same else statistics.stdev(lost) / math.sqrt(len(lost)),
    )
