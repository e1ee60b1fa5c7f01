# SPDX-License-Identifier: Apache-2.0
"""Check MONAI bundle folders: layout, rules, metadata, properties, network, weights, model card.

The committed bundles and a run's release/ pass the same checks. Example:
  dsfedmed check-bundle bundles/light_unet_segmentation runs/demo/release
"""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE", help="bundle folders")
    parser.add_argument(
        "--local", type=Path, metavar="DIR", help="folder of the party's dsfedmed.yaml, whose bundle_classes count, too"
    )
    parser.add_argument("--weights", action="store_true", help="complain about a bundle without models/model.pt")


def run(args: argparse.Namespace) -> int:
    """Print one line per check; status 1 when any bundle has a complaint."""
    from dsfedmed.bundles.checks import check_bundle
    from dsfedmed.federated.party.config import accepted_classes

    failed, allowed = False, accepted_classes(args.local)
    for folder in args.bundles:
        print(folder)
        for result in check_bundle(folder, weights=args.weights, also_allowed=allowed):
            print(f"  {'FAILED' if result.complaints else 'ok':<6}  {result.name}")
            for complaint in result.complaints:
                print(f"            {complaint}")
            failed = failed or bool(result.complaints)
    return int(failed)
