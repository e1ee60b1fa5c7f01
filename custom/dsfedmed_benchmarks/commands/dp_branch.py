# SPDX-License-Identifier: Apache-2.0
r"""What differential privacy of a hospital's branch costs in Dice, beside a base that has seen none of its images.

The committed table has a small base of public images (the four of `public_pretraining`), which is made first:
  dsfedmed pretrain-generator --data PUBLIC/... --image-size 64 --channels 3 --steps 600 --out B.safetensors
    --set block_out_channels='[24, 48, 48]' --set attention_head_channels=24
Records and branches are kept below --work (branches have seen private images), and an interrupted table goes on from
them. Example:
  python -m dsfedmed_benchmarks dp-branch --sites DIR/nuclei --site fluo256 --base B.safetensors --out docs/results
"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path

from dsfedmed_benchmarks.private_branch.study import Options
from dsfedmed_benchmarks.private_branch.table import run as study

NUMBERS = {
    "plain_steps": "gradient steps without privacy",
    "steps": "private gradient steps",
    "people": "patients that a private step draws in the mean",
    "draws": "noise and timesteps of each drawn image",
    "pairs": "images drawn from each branch",
    "seeds": "light networks trained on each set",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--sites", type=Path, required=True, help="folder with one folder per site")
    parser.add_argument("--site", nargs="+", required=True, help="sites whose branch is fitted")
    parser.add_argument("--base", type=Path, required=True, help="file of the base (dsfedmed pretrain-generator)")
    parser.add_argument("--epsilon", type=float, nargs="+", default=[10.0, 3.0, 1.0], help="rows (10 3 1)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the two files")
    parser.add_argument("--bundles", type=Path, default=Options.bundles, help="folder of the bundles (bundles)")
    parser.add_argument("--work", type=Path, default=Options.work, help="records and branches (runs/dp_branch)")
    for field, meaning in NUMBERS.items():
        default = getattr(Options, field)
        parser.add_argument(f"--{field.replace('_', '-')}", type=int, default=default, help=f"{meaning} ({default})")
    parser.add_argument("--rate", type=float, default=Options.rate, help=f"Adam's, private ({Options.rate})")


def run(args: argparse.Namespace) -> int:
    """Fit, score, print the table and write both files."""
    numbers = {field: getattr(args, field) for field in NUMBERS}
    options = Options(args.sites, args.base, args.bundles, args.work, rate=args.rate, **numbers)
    table = study(options, args.site, args.epsilon, functools.partial(print, flush=True))
    print(table.to_markdown())
    for path in table.write(args.out):
        print(path)
    return 0
