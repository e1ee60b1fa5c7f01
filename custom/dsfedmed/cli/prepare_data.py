# SPDX-License-Identifier: Apache-2.0
"""Make site folders from the official download of one of the paper's data sets; nothing is downloaded.

The name of a data set alone prints where to get the data, under which licence, and what is made of it.

Examples:
  dsfedmed prepare-data --list
  dsfedmed prepare-data prostate
  dsfedmed prepare-data prostate --from downloads/prostate --to data/prostate --unseen UCL
  dsfedmed prepare-data nuclei --from downloads/nuclei --to data/nuclei --only monuseg tnbc --tile 512
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from dsfedmed.errors import ConfigError, DataError

if TYPE_CHECKING:
    from dsfedmed.data.datasets.build import MadeSite


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add("dataset", nargs="?", metavar="NAME", help="the data set; alone, it is explained")
    add("--list", action="store_true", help="list the data sets")
    add(
        "--from", dest="download", metavar="PATH", help="official archive, or folder with the archives or their content"
    )
    add("--to", dest="out", metavar="DIR", help="folder that gets the site folders")
    add("--only", nargs="+", default=[], metavar="SITE", help="make these sites (default: all)")
    add("--unseen", nargs="+", default=[], metavar="SITE", help="put every case of these sites into their test part")
    add("--seed", type=int, default=0, help="seed of the splits by patient (default %(default)s)")
    add("--slices", default="labelled", help="training slices: labelled, or all (default %(default)s)")
    add(
        "--tile",
        type=int,
        default=512,
        help="nuclei: largest side of a tile in pixels, 0 for none (default %(default)s)",
    )
    add("--link", action="store_true", help="hard-link unchanged files instead of copying them")
    add("--skip-bad", action="store_true", help="leave damaged files out (they are listed in provenance.json)")


def run(args: argparse.Namespace) -> int:
    """List or explain data sets, or make the sites and print their counts; progress and bad files go to stderr."""
    from dsfedmed.data.datasets.build import make_sites
    from dsfedmed.data.datasets.plan import RecipeOptions
    from dsfedmed.data.datasets.registry import find_recipe

    if args.list:
        print("\n".join(_table()))
        return 0
    if args.dataset is None:
        raise ConfigError("prepare-data", "no name is given", "See `dsfedmed prepare-data --list`.")
    recipe = find_recipe(args.dataset)
    if args.download is None and args.out is None:
        print(recipe.about.strip())
        return 0
    if args.download is None or args.out is None:
        raise ConfigError("prepare-data", "one of --from and --to is missing", "Give both, or none to read about it.")
    options = RecipeOptions(
        only=tuple(args.only),
        unseen=tuple(args.unseen),
        seed=args.seed,
        slices=args.slices,
        tile_px=args.tile,
        link=args.link,
        skip_bad=args.skip_bad,
    )
    sites = make_sites(recipe, args.download, args.out, options, _report, _say)
    print("\n".join(_lines(sites)))
    return 0


def _report(error: DataError) -> None:
    _say(f"bad file: {error}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _table() -> list[str]:
    from dsfedmed.data.datasets.registry import RECIPES

    lines = []
    for recipe in RECIPES.values():
        lines.append(f"{recipe.name:<12}{recipe.title}; classes: {', '.join(recipe.classes)}")
        lines += [f"{'':<12}  {site:<13}{held}" for site, held in recipe.sites.items()]
        lines += [f"{'':<12}  from {recipe.homepage}", f"{'':<12}  licence: {recipe.licence}"]
    return lines


def _lines(sites: list[MadeSite]) -> list[str]:
    lines = [f"{'site':<40}{'training':>9}{'validation':>12}{'test':>7}{'left out':>10}"]
    for site in sites:
        counts = site.counts
        lines.append(
            f"{site.folder!s:<40}{counts['training']:>9}{counts['validation']:>12}{counts['test']:>7}{site.left_out:>10}"
        )
    return lines
