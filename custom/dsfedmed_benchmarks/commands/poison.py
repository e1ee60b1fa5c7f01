# SPDX-License-Identifier: Apache-2.0
r"""One bad site among honest ones: FedAvg of the light network under each rule and way of being bad.

Each site is bad in turn; what is compared is the mean test Dice of the others, against the run without that site and
the run in which it is honest. Every run is a file below --out/cells as soon as it is done, and is not done again; the
table names those that are missing. Two-valued masks in pictures. Examples:
  python -m dsfedmed_benchmarks poison --sites DIR/nuclei --out docs/results/poison --name nuclei
  python -m dsfedmed_benchmarks poison --sites DIR/nuclei --out docs/results/poison --name nuclei --only-table
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.layout import SimulatedSites, site_names
from dsfedmed_benchmarks.poison.federation import ATTACKS, HONEST, WITHOUT, run_with
from dsfedmed_benchmarks.poison.table import RULES, Cell, Cells, rules_of, table_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--sites", type=Path, required=True, help="folder with one folder per site")
    parser.add_argument("--name", required=True, help="of the table's files")
    parser.add_argument("--out", type=Path, required=True, help="folder of the table and of the runs' outcomes")
    parser.add_argument("--bad", nargs="+", metavar="SITE", help="sites to make bad, one after another (all)")
    parser.add_argument("--attacks", nargs="*", choices=ATTACKS, default=list(ATTACKS), help="ways of being bad (all)")
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES), help="rules (all)")
    parser.add_argument("--rounds", type=int, default=20, help="rounds (20)")
    parser.add_argument("--seed", type=int, default=0, help="seed (0)")
    parser.add_argument("--bundles", type=Path, default=Path("bundles"), help="folder of the bundles (bundles)")
    parser.add_argument("--only-table", action="store_true", help="run nothing; table of what is there")


def run(args: argparse.Namespace) -> int:
    """Do what is missing; return 0 when every run is there.

    Raises:
        ConfigError: there is no such site.
    """
    names = site_names(args.sites)
    bad = args.bad or names
    if set(bad) - set(names):
        raise ConfigError("--bad", f"{sorted(set(bad) - set(names))} are none of the sites", f"Sites: {names}")
    cells = Cells(args.out / "cells" / args.name)
    wanted = [
        Cell(site, behaviour, rule, args.rounds, args.seed)
        for behaviour in (HONEST, WITHOUT, *args.attacks)
        for rule in rules_of(behaviour, args.rules)
        for site in (bad if behaviour != HONEST else names[:1])
    ]
    for number, cell in enumerate(wanted, start=1):
        if args.only_table or cells.has(cell):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            layout = SimulatedSites(args.sites.resolve(), Path(scratch) / "run", args.bundles.resolve())
            outcome = run_with(cell.bad, cell.behaviour, cell.settings(), layout, names)
        cells.keep(cell, outcome)
        print(f"{number}/{len(wanted)} {cell.title}: {outcome.verdict}, {outcome.seconds:.0f} s", flush=True)
    missing = [cell for cell in wanted if not cells.has(cell)]
    table = table_of(args.name, cells, wanted)
    print(table.to_markdown())
    for path in table.write(args.out):
        print(path)
    for cell in missing:
        print(f"not there: {cell.title}; the same command goes on")
    return 1 if missing else 0
