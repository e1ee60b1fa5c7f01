# SPDX-License-Identifier: Apache-2.0
"""Copy site folders with fewer training images, to see what a method is worth where labels are few.

Examples:
  dsfedmed subset-sites data/breast_us runs/few --training 30
  dsfedmed subset-sites data/breast_us runs/few --training 30 --seed 1
"""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("sites", metavar="SITES", type=Path, help="folder with one folder per site")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder that gets one folder per site")
    parser.add_argument("--training", type=int, required=True, metavar="N", help="training images per site at most")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (default %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Write the folders and name them."""
    from dsfedmed.data.subset import subset_site
    from dsfedmed.federated.party.layout import site_folders

    for name in site_folders(args.sites).values():
        print(subset_site(args.sites / name, args.out, args.training, args.seed))
    return 0
