# SPDX-License-Identifier: Apache-2.0
"""Entry point of the ``dsfedmed`` command."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from dsfedmed.errors import DSFedMedError
from dsfedmed.renamed import refuse_renamed_word
from dsfedmed.version import VERSION

COMMANDS = {
    "demo-sites": "write made-up site folders",
    "subset-sites": "copy site folders with fewer training images",
    "check-site": "check site folders, file by file",
    "build-datalist": "write datalist.json from paired folders or from the authors' npy layout",
    "prepare-data": "make sites from the official download of a public data set",
    "pretrain-teacher": "pre-train the small teacher on labelled folders of other organs",
    "pretrain-generator": "train the generator's small base on public images",
    "workspace": "prepare a workspace for `nvflare simulator`",
    "poc": "run a job as separate processes on this machine (NVFlare's POC mode)",
    "setup-party": "set up the startup kit of a site or server",
    "predict": "masks and areas of new images, with a run's release",
    "report": "write results.json and report.html of a run again",
    "check-bundle": "check MONAI bundle folders",
    "label-server": "serve bundles or a run's release with MONAI Label",
    "prepare-teacher": "make a teacher bundle from an official SAM checkpoint",
    "release-generator": "write a run's generator as a bundle",
}
"""Sub-commands, each a module of this package or of `FOLDERS`, and what it does."""
FOLDERS = {"predict": "models"}
"""Sub-packages in which the modules of commands lie; all others lie beside this one."""

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


class LateParser(argparse.ArgumentParser):
    """A sub-command's parser, which imports the command's module when it is named: the list needs no library.

    Attributes:
        package: of the modules, called as the commands are; each has ``configure(parser)`` and ``run(args)``.
        folders: command -> sub-package of ``package`` that has its module.
    """

    package = ""
    folders: Mapping[str, str] = {}

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Let the module declare its arguments, then parse them."""
        module = importlib.import_module(module_name(self.package, self.prog.split()[-1], self.folders))
        self.description, self.formatter_class = module.__doc__, argparse.RawDescriptionHelpFormatter
        self.set_defaults(run=module.run)
        module.configure(self)
        return super().parse_known_args(args, namespace)


def module_name(package: str, command: str, folders: Mapping[str, str]) -> str:
    """Return the module of a command: called like it, with underscores, in its folder of the package."""
    return ".".join(part for part in (package, folders.get(command, ""), command.replace("-", "_")) if part)


def parser_of(package: str, folders: Mapping[str, str] | None = None) -> type[LateParser]:
    """Return the class of parsers for the commands of a package, and of its sub-packages by ``folders``."""
    return type("CommandParser", (LateParser,), {"package": package, "folders": folders or {}})


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with one sub-command for each of ``COMMANDS``."""
    parser = argparse.ArgumentParser(
        prog="dsfedmed", description="Everything around a DSFedMed run: sites, checks, teacher, reports."
    )
    parser.add_argument("--version", action="version", version=VERSION)
    kind = parser_of("dsfedmed.cli", FOLDERS)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=kind)
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text)
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
