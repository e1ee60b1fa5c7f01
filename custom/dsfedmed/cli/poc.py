# SPDX-License-Identifier: Apache-2.0
"""Run a job as separate processes on this machine, with certificates and mTLS (NVFlare's POC mode).

One command does everything; each step is a command of its own as well.

Examples:
  dsfedmed poc all --work runs/poc --sites data/demo --unseen site_d --preset jobs/dsfedmed/presets/demo.yaml
  dsfedmed poc prepare --work runs/poc --sites data/demo
  dsfedmed poc start --work runs/poc
  dsfedmed poc submit --work runs/poc --unseen site_d --preset jobs/dsfedmed/presets/demo.yaml
  dsfedmed poc watch --work runs/poc
  dsfedmed poc fetch --work runs/poc
  dsfedmed poc stop --work runs/poc
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dsfedmed.methods import METHODS

STEPS = ("all", "prepare", "start", "submit", "watch", "fetch", "stop")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("step", choices=STEPS, help="what to do")
    parser.add_argument("--work", type=Path, default=Path("runs/poc"), help="folder of everything (default runs/poc)")
    parser.add_argument("--port", type=int, help="port of the server (default 8002)")
    parser.add_argument("--sites", type=Path, help="prepare: folder with one folder per site")
    parser.add_argument(
        "--bundles", type=Path, help="prepare: folder of the bundles (default: those that came with dsfedmed)"
    )
    parser.add_argument("--teacher", type=Path, help="prepare: weights file of the teacher")
    parser.add_argument("--device", default="cpu", help="prepare: torch device of all parties (default cpu)")
    parser.add_argument("--threads", type=int, default=1, help="prepare: CPU threads of each site")
    parser.add_argument("--server-threads", type=int, default=1, help="prepare: CPU threads of the server")
    parser.add_argument("--public", type=Path, help="prepare: labelled folder of the server (SAM-Fed)")
    parser.add_argument("--generator-base", type=Path, help="prepare: the server's file of a given generator base")
    parser.add_argument("--method", choices=sorted(METHODS), default="dsfedmed", help="submit: the workflow")
    parser.add_argument("--preset", help="submit: preset file, or the name of one in jobs/METHOD/presets")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="submit: override a setting")
    parser.add_argument("--unseen", action="append", default=[], help="submit: site held out until the end")
    parser.add_argument("--hours", type=float, default=12.0, help="watch: how long to wait (default 12)")


def run(args: argparse.Namespace) -> int:
    """Do one step, or all of them."""
    from dsfedmed.cli.job.poc_steps import run_step

    return run_step(args)
