# SPDX-License-Identifier: Apache-2.0
"""Run one round of every stage at the paper's size with random weights; print time and peak memory of each.

No weights file is needed. It ends with a status other than 0, and names the stage, as soon as one fails. Examples:
  python -m dsfedmed_benchmarks gpu-check
  python -m dsfedmed_benchmarks gpu-check --device cpu --scale tiny
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from dsfedmed.training.precision import AUTOCAST
from dsfedmed_benchmarks.paper_scale.gpu_check import run as check
from dsfedmed_benchmarks.paper_scale.stages import CheckOptions

SCALES = ("full", "tiny")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--device", default="", help="torch device (default: a GPU where there is one, else the CPU)")
    parser.add_argument("--scale", choices=SCALES, default="full", help="full: SD 1.5, SAM ViT-B, TinySAM; tiny: tests")
    parser.add_argument("--batch-size", type=int, default=2, help="images a step")
    parser.add_argument("--images", type=int, default=4, help="images of the site and of the synthetic set")
    parser.add_argument("--precision", choices=AUTOCAST, default="bfloat16", help="number format of the server's work")
    parser.add_argument("--passes", type=int, default=2, help="how often each stage runs; the first warms up")
    parser.add_argument("--bundles", type=Path, default=Path("bundles"), help="folder of the light networks' bundles")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, images and order")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), metavar="DIR", help="folder of the two files")


def run(args: argparse.Namespace) -> int:
    """Run the stages, print each as it is done, then the table; write it as JSON and Markdown."""
    values = {field.name: getattr(args, field.name) for field in fields(CheckOptions)}
    table = check(CheckOptions(**values), on_row=_print_row)
    print(f"\n{table.to_markdown()}")
    for path in table.write(args.out):
        print(path)
    return 0


def _print_row(row: Sequence[str | int | float | None]) -> None:
    name, _, first, again, _, peak = row
    last = first if again is None else again
    print(f"{name:24} {last:8.2f} s {peak:8.2f} GiB", flush=True)
