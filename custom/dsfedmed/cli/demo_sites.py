# SPDX-License-Identifier: Apache-2.0
"""Write made-up sites (and made-up public shapes) to try a federation without any data.

Examples:
  dsfedmed demo-sites workspace/sites
  dsfedmed demo-sites workspace/sites --seed 3 --training 48 --public-shapes workspace/public --public-count 600
  dsfedmed demo-sites --public-shapes workspace/public --public-count 3000
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dsfedmed.data.demo.names import SITES
from dsfedmed.options import require


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("out", metavar="OUT", nargs="?", help="folder that gets one folder per site (none: no sites)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all images (default %(default)s)")
    parser.add_argument("--sites", nargs="+", default=list(SITES), metavar="NAME", help="sites (default: %(default)s)")
    parser.add_argument("--training", type=int, default=48, help="training images per site (default %(default)s)")
    parser.add_argument("--validation", type=int, default=12, help="validation images per site (default %(default)s)")
    parser.add_argument("--test", type=int, default=24, help="test images per site (default %(default)s)")
    parser.add_argument("--size", type=int, nargs=2, default=[80, 64], metavar=("X", "Y"), help="pixels (80 64)")
    parser.add_argument("--public-shapes", metavar="DIR", help="also write labelled shapes to pre-train a teacher on")
    parser.add_argument("--public-count", type=int, default=600, help="number of these (default %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Write the folders and name them.

    Raises:
        ConfigError: nothing was asked for.
    """
    from dsfedmed.data.demo.public import make_public_shapes
    from dsfedmed.data.demo.sites import make_demo_sites

    require(bool(args.out or args.public_shapes), "demo-sites", "no folder is given", "Give OUT or --public-shapes")
    size = (args.size[0], args.size[1])
    folders: list[Path] = []
    if args.out:
        folders += make_demo_sites(args.out, args.seed, args.sites, args.training, args.validation, args.test, size)
    if args.public_shapes:
        folders += make_public_shapes(args.public_shapes, args.seed, args.public_count)
    for folder in folders:
        print(folder)
    return 0
