# SPDX-License-Identifier: Apache-2.0
"""Entry point of the ``dsfedmed`` command."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Callable, Sequence

from dsfedmed.errors import DSFedMedError
from dsfedmed.renamed import refuse_renamed_word
from dsfedmed.version import VERSION

COMMANDS = (
    "demo_sites",
    "subset_sites",
    "check_site",
    "build_datalist",
    "prepare_data",
    "pretrain_teacher",
    "pretrain_generator",
    "workspace",
    "poc",
    "setup_party",
    "report",
    "check_bundle",
    "label_server",
    "prepare_teacher",
    "release_generator",
)

RENAMED = {
    "recipe": "dsfedmed prepare-data",
    "bench": "python -m dsfedmed_benchmarks perf",
    "benchmark": "python -m dsfedmed_benchmarks compare-methods",
    "ablation": "python -m dsfedmed_benchmarks ablation",
    "table": "python -m dsfedmed_benchmarks seeds-table",
    "gpu-check": "python -m dsfedmed_benchmarks gpu-check",
}
"""Commands of version 0.3 under another name, or in another program, now; one line each."""
OF_A_PATH = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EIO)
"""Errors of a path that was given or of its disk; all others are bugs and keep their traceback."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with one sub-command per module named in ``COMMANDS``."""
    parser = argparse.ArgumentParser(
        prog="dsfedmed", description="Everything around a DSFedMed run: sites, checks, teacher, reports."
    )
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"dsfedmed.cli.{name}")
        command = commands.add_parser(
            module.NAME,
            help=module.HELP,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.configure(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return its exit status."""
    words = sys.argv[1:] if argv is None else argv

    def command() -> int:
        refuse_renamed_word(next(iter(words), ""), RENAMED)
        args = build_parser().parse_args(words)
        return int(args.run(args))

    return exit_status("dsfedmed", command)


def exit_status(program: str, command: Callable[[], int]) -> int:
    """Run ``command`` and return its exit status; an expected error is one line on stderr and status 2.

    Expected are the package's own, and what the system says of a path, with the path's name.
    """
    try:
        status = int(command())
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except DSFedMedError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.filename is None or error.errno not in OF_A_PATH:
            raise
        print(f"{program}: {error.filename}: {error.strerror}. Correct the path, or its rights.", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
