# SPDX-License-Identifier: Apache-2.0
"""Prepare a workspace for NVFlare's own simulator command.

Example:
  dsfedmed workspace ws --sites data/demo --run runs/demo --bundles bundles
  nvflare simulator jobs/dsfedmed -w ws -c site_a,site_b,site_c,site_d -t 4
"""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("workspace", type=Path, help="folder to prepare; give it to `nvflare simulator -w`")
    parser.add_argument("--sites", type=Path, required=True, help="folder with one folder per site")
    parser.add_argument("--run", type=Path, required=True, dest="run_folder", help="run folder for results and report")
    parser.add_argument("--bundles", type=Path, help="folder of the bundles (default: those that came with dsfedmed)")
    parser.add_argument("--teacher", type=Path, help="weights file of the teacher (default: random start)")
    parser.add_argument("--light-weights", type=Path, help="weights file of the light network (default: random start)")
    parser.add_argument("--generator", type=Path, help="Stable Diffusion folder (default: a small base is trained)")
    parser.add_argument("--generator-base", type=Path, help="file of a given generator base (default: none)")
    parser.add_argument("--device", default="cpu", help="torch device, such as cpu or cuda (default: cpu)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads per site (default: 1)")


def run(args: argparse.Namespace) -> int:
    """Write the workspace and say how to go on."""
    from dsfedmed.federated.party.layout import SimulatedSites, own_names, site_folders, site_names
    from dsfedmed.flare.workspace import prepare_workspace
    from dsfedmed.installation.shipped import bundles

    names = site_names(args.sites)
    layout = SimulatedSites(
        sites=args.sites,
        run=args.run_folder,
        bundles=args.bundles or bundles(),
        teacher=args.teacher,
        device=args.device,
        threads=args.threads,
        generator=args.generator,
        light_weights=args.light_weights,
        generator_base=args.generator_base,
    )
    prepare_workspace(args.workspace, layout)
    print(f"{args.workspace} is ready. Next:")
    print(f"  nvflare simulator jobs/dsfedmed -w {args.workspace} -c {','.join(names)} -t {len(names)}")
    for plain, own in own_names(site_folders(args.sites)).items():
        print(f"  ({plain} is the site {own}: NVFlare takes letters, digits, _ and - only)")
    return 0
