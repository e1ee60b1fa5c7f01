# SPDX-License-Identifier: Apache-2.0
r"""One bad part in the synthetic set of a finished run: adherence to its masks, and what it costs the other sites.

Nothing of the run is changed: its pictures stay, and one site's masks are made wrong after another's. Example:
  python -m dsfedmed_benchmarks poison-parts --run RUN --sites DIR/nuclei --out docs/results/poison --name nuclei_parts
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dsfedmed.errors import ConfigError
from dsfedmed.federated.party.config import PartyConfig
from dsfedmed.federated.server.finished_run import FinishedRun
from dsfedmed_benchmarks.poison.parts import HONEST, KINDS, Case, tables


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--run", dest="finished", type=Path, required=True, help="folder of a finished run of DSFedMed")
    parser.add_argument("--sites", type=Path, required=True, help="folder with one folder per site, as of that run")
    parser.add_argument("--name", required=True, help="of the table's files")
    parser.add_argument("--out", type=Path, required=True, help="folder of the table")
    parser.add_argument("--bad", nargs="+", metavar="SITE", help="sites to make bad, one after another (all)")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS), help="ways of being bad (all)")
    parser.add_argument("--bundles", type=Path, default=Path("bundles"), help="folder of the bundles (bundles)")


def run(args: argparse.Namespace) -> int:
    """Score the parts in every case and write the table after each; return 0.

    Raises:
        ConfigError: there is no such site.
    """
    finished = FinishedRun.open(args.finished, args.sites, PartyConfig(bundles=args.bundles))
    bad = args.bad or list(finished.sources)
    if set(bad) - set(finished.sources):
        reason = f"{sorted(set(bad) - set(finished.sources))} are none of the run's source sites"
        raise ConfigError("--bad", reason, f"Sites: {', '.join(finished.sources)}")
    cases = [Case(site, kind, wrong) for kind in args.kinds for site in bad for wrong in (False, True)]
    for table in tables(finished, args.finished, [Case(bad[0], HONEST, False), *cases], args.name):
        print(" | ".join("" if cell is None else str(cell) for cell in table.rows[-1]), flush=True)
        paths = table.write(args.out)
    print(*paths, sep="\n")
    return 0
