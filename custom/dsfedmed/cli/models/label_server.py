# SPDX-License-Identifier: Apache-2.0
"""Serve bundles, or a run's release, with MONAI Label; a page at /viewer shows images and masks.

Needs MONAI Label's own environment (make label-setup). Listens on 127.0.0.1 only, unless told otherwise: MONAI Label
asks for no password. Labels are written into STUDIES/labels; training continues in copies below the workspace. Example:
  dsfedmed label-server runs/demo/release --studies data/demo/site_a/images
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

from dsfedmed.errors import ConfigError
from dsfedmed.label.command import ENVIRONMENT


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE", help="bundle folders with weights")
    parser.add_argument("--studies", type=Path, required=True, metavar="DIR", help="folder of images to label")
    parser.add_argument("--workspace", type=Path, default=Path("runs/label"), metavar="DIR", help="(%(default)s)")
    parser.add_argument("--keep", action="store_true", help="continue with the models trained in the workspace")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (%(default)s)")
    parser.add_argument(
        "--local", type=Path, metavar="DIR", help="folder of the party's dsfedmed.yaml, whose bundle_classes count, too"
    )
    parser.add_argument("--environment", type=Path, default=ENVIRONMENT, metavar="DIR", help="(%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Check, copy, and run the server until it is stopped; its exit status is returned."""
    from dsfedmed.federated.party.config import accepted_classes
    from dsfedmed.label.command import python_of, server_command, server_environment
    from dsfedmed.label.workspace import prepare

    python = python_of(args.environment)
    if not args.studies.is_dir():
        raise ConfigError(args.studies, "no such folder", "Give a folder of images.")
    app = args.workspace.resolve()
    models = prepare(args.bundles, app, keep=args.keep, also_allowed=accepted_classes(args.local))
    command = server_command(python, app, args.studies.resolve(), models, args.host, args.port)
    print(f"serving {', '.join(models)} on http://{args.host}:{args.port} (page: /viewer)", flush=True)
    try:
        return subprocess.run(command, env=server_environment(app), check=False).returncode
    except KeyboardInterrupt:
        return 0
