# SPDX-License-Identifier: Apache-2.0
"""Made-up hospitals that differ, and three whole federations on them: few rounds, none at all, and one hospital leaves.

Nothing is downloaded. The first table comes after about ten minutes on two free cores, all three after twenty. The same
command again resumes where it was interrupted.

Examples:
  dsfedmed demo
  dsfedmed demo --out runs/demo --parts few_rounds
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dsfedmed.installation.extras import require_extras
from dsfedmed.version import VERSION

UNSEEN, LEAVING, ROUNDS_BEFORE = "site_d", "site_b", 2
TEACHER_STEPS = 180
"""Of the pre-training, about a minute; a limit by the clock would give every machine another teacher."""
PARTS = {
    "few_rounds": "five rounds, over NVFlare's simulator",
    "one_shot": "no round of the light network at all",
    "leaving": f"{LEAVING} leaves after {ROUNDS_BEFORE} of five rounds, and is scored at the end",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--out", type=Path, default=Path("dsfedmed-demo"), help="folder of everything (%(default)s)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="which of the three (all)")


def run(args: argparse.Namespace) -> int:
    """Make the hospitals and the teacher, run the parts, and name the reports."""
    require_extras("generator", "teacher", "report", *(("nvflare",) if "few_rounds" in args.parts else ()))
    print(f"dsfedmed {VERSION}: the demo, in {args.out}", flush=True)
    for number, part in enumerate(args.parts, 1):
        print(f"== {number} of {len(args.parts)}: {PARTS[part]} ==", flush=True)
        for words in _commands(args.out, part):
            status = _dsfedmed(words)
            if status:
                return status
    reports = (f"  {args.out / part / 'report.html'}" for part in args.parts)
    print("\n".join(("Reports, to open in a browser:", *reports)))
    return 0


def _commands(out: Path, part: str) -> list[list[str]]:
    """Return the commands of a part; what is there already is not made again."""
    sites, shapes, teacher = out / "sites", out / "public_shapes", out / "teacher.safetensors"
    commands = []
    if not (sites / "site_d" / "datalist.json").exists() or not shapes.exists():
        commands.append(["demo-sites", str(sites), "--public-shapes", str(shapes)])
    if not teacher.exists():
        folders = [str(shapes / name) for name in ("polygons", "rings", "stars")]
        small = ["--variant", "small", "--image-size", "64", "--steps", str(TEACHER_STEPS)]
        commands.append(["pretrain-teacher", "--data", *folders, *small, "--out", str(teacher)])
    own = {
        "few_rounds": [],
        "one_shot": ["--engine", "local", "--set", "rounds=0", "--set", "compare.local=false"],
        "leaving": ["--engine", "local", "--leave", f"{LEAVING}={ROUNDS_BEFORE}", "--set", "compare.local=false"],
    }[part]
    if part != "few_rounds" and (out / "few_rounds" / "report.html").exists():
        own += ["--reuse", str(out / "few_rounds")]
    common = ["--sites", str(sites), "--unseen", UNSEEN, "--preset", "demo", "--teacher", str(teacher)]
    return [*commands, ["run", "dsfedmed", *common, "--server-threads", "2", *own, "--out", str(out / part)]]


def _dsfedmed(words: Sequence[str]) -> int:
    """Run one command in a process of its own, as a user would; it ends when this process is killed."""
    from dsfedmed.federated.party.launcher import as_launcher

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with as_launcher():
        return subprocess.run([sys.executable, "-m", "dsfedmed.cli.main", *words], check=False).returncode
