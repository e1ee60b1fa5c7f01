# SPDX-License-Identifier: Apache-2.0
r"""Attack what leaves a hospital: membership, extraction, the release, and images out of an update.

`membership` and `extraction` need a finished run of DSFedMed with its sites, and fit further branches on one of them,
each kept below --work until the command is repeated; that folder holds weights that have seen private images. `release`
takes any finished runs, `inversion` a site alone. Examples:
  python -m dsfedmed_benchmarks privacy-attacks membership --run RUN --sites DIR/nuclei --site fluo256 --out OUT
  python -m dsfedmed_benchmarks privacy-attacks release --run RUN RUN --sites DIR/nuclei --out OUT
  python -m dsfedmed_benchmarks privacy-attacks inversion --site-folder DIR/nuclei/fluo256 --out OUT
"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path

from dsfedmed_benchmarks.attacks import extraction, inversion, membership, release
from dsfedmed_benchmarks.attacks.roster import Budget, Roster
from dsfedmed_benchmarks.attacks.victim import Victim
from dsfedmed_benchmarks.measurement.table import Benchmark

NUMBERS = {
    "shadows": "shadow branches, 6 to 8",
    "shadow_steps": "gradient steps of each",
    "few": "images in the overfitted branch",
    "few_steps": "its gradient steps",
    "each": "canaries for each number of copies",
    "seed": "of every draw",
}
say = functools.partial(print, flush=True)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments: one sub-command an attack."""
    attacks = parser.add_subparsers(required=True, metavar="ATTACK", parser_class=argparse.ArgumentParser)
    for name, text in (
        ("membership", "which images a branch and a set were made from: loss, likelihood ratio, nearest image"),
        ("extraction", "canaries: whether drawn images show what was planted"),
    ):
        one = _attack(attacks, name, text)
        one.add_argument("--run", type=Path, required=True, help="finished run of DSFedMed", dest="folder")
        one.add_argument("--sites", type=Path, required=True, help="folder with one folder per site")
        one.add_argument("--site", required=True, help="source site whose branch is attacked")
        for field, meaning in NUMBERS.items():
            default = getattr(Budget(), field)
            one.add_argument(f"--{field.replace('_', '-')}", type=int, default=default, help=f"{meaning} ({default})")
        if name == "extraction":
            one.add_argument("--draws", type=int, default=16, help="images for each canary's mask (16)")
            one.add_argument("--per-set", type=int, default=360, help="images of a set (360)")
    one = _attack(attacks, "release", "which images a released network was trained on: loss")
    one.add_argument("--run", type=Path, required=True, nargs="+", help="finished runs with a release", dest="folder")
    one.add_argument("--sites", type=Path, required=True, help="folder with one folder per site")
    one = _attack(attacks, "inversion", "images out of the update of one step, with and without the noise filter")
    one.add_argument("--site-folder", type=Path, required=True, help="a site")
    one.add_argument("--bundle", default="light_unet_segmentation", help="light network (light_unet_segmentation)")
    one.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16], help="images of the step (1 4 16)")
    one.add_argument("--images", type=int, default=1, help="images looked for in each row, at least (1)")
    one.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.0005], help="noise multipliers (0 0.0005)")
    one.add_argument("--optimizers", nargs="+", default=["sgd", "adam"], help="optimisers of the bundle (sgd adam)")
    one.add_argument("--iterations", type=int, default=200, help="steps of the attack (200)")
    one.add_argument("--name", default="attacks-inversion", help="of the two files (attacks-inversion)")


def run(args: argparse.Namespace) -> int:
    """Run the named attack, print its table and write both files."""
    table = ATTACKS[args.attack](args)
    print(table.to_markdown())
    for path in table.write(args.out):
        print(path)
    return 0


def _attack(
    attacks: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = attacks.add_parser(name, help=text, description=text)
    parser.set_defaults(attack=name)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the two files")
    parser.add_argument("--bundles", type=Path, default=Path("bundles"), help="folder of the bundles (bundles)")
    parser.add_argument("--work", type=Path, default=Path("runs/attacks"), help="what was computed (runs/attacks)")
    return parser


def _roster(args: argparse.Namespace) -> Roster:
    budget = Budget(**{field: getattr(args, field) for field in NUMBERS})
    return Roster(Victim.open(args.folder, args.sites, args.site, args.bundles), budget, args.work, say)


def _membership(args: argparse.Namespace) -> Benchmark:
    return membership.run(_roster(args))


def _extraction(args: argparse.Namespace) -> Benchmark:
    return extraction.run(_roster(args), args.draws, args.per_set)


def _release(args: argparse.Namespace) -> Benchmark:
    return release.run(args.folder, args.sites, say=say)


def _inversion(args: argparse.Namespace) -> Benchmark:
    options = inversion.Options(
        args.site_folder, args.bundles, args.bundle, batches=tuple(args.batches), images=args.images,
        optimizers=tuple(args.optimizers), noise=tuple(args.noise), iterations=args.iterations, name=args.name,
    )  # fmt: skip
    return inversion.run(options, args.work, say)


ATTACKS = {"membership": _membership, "extraction": _extraction, "release": _release, "inversion": _inversion}
"""Each attack by name."""
