# SPDX-License-Identifier: Apache-2.0
"""Write docs/reference/settings.md and commands.md from the code: `make docs` does it, and a test compares them.

Example:
  python -m dsfedmed_benchmarks reference-pages --out docs/reference
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dsfedmed_benchmarks.reference.commands import commands_page
from dsfedmed_benchmarks.reference.settings import settings_page


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--out", type=Path, default=Path("docs/reference"), metavar="DIR", help="(%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Write both pages."""
    for name, text in pages().items():
        (args.out / name).write_text(text, encoding="utf-8")
        print(args.out / name)
    return 0


def pages() -> dict[str, str]:
    """Return the pages by file name."""
    return {"settings.md": settings_page(), "commands.md": commands_page()}
