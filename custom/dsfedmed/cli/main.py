# SPDX-License-Identifier: Apache-2.0
"""Entry point of the ``dsfedmed`` command."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from dsfedmed.errors import DSFedMedError
from dsfedmed.installation.extras import extra_of, lacking
from dsfedmed.renamed import refuse_renamed_word
from dsfedmed.version import VERSION


@dataclass(frozen=True)
class Command:
    """A sub-command.

    Attributes:
        module: below the program's package, with ``configure(parser)`` and ``run(args)``. It imports no library before
            it runs, so that its help takes no time.
        text: what it does, in one line.
    """

    module: str
    text: str


COMMANDS = {
    "run": Command("job.run", "run a federation on this machine"),
    "plan": Command("job.plan", "say what a federation on site folders would look like, before it is run"),
    "demo": Command("job.demo", "made-up hospitals, a whole federation and its report, without any data"),
    "export-job": Command("job.export", "write a method's NVFlare job, for real sites"),
    "demo-sites": Command("demo_sites", "write made-up site folders"),
    "subset-sites": Command("subset_sites", "copy site folders with fewer training images"),
    "check-site": Command("check_site", "check site folders, file by file"),
    "build-datalist": Command(
        "build_datalist", "write datalist.json from paired folders or from the authors' npy layout"
    ),
    "prepare-data": Command("prepare_data", "make sites from the official download of a public data set"),
    "pretrain-teacher": Command(
        "models.pretrain_teacher", "pre-train the small teacher on labelled folders of other organs"
    ),
    "pretrain-generator": Command("models.pretrain_generator", "train the generator's small base on public images"),
    "workspace": Command("workspace", "prepare a workspace for `nvflare simulator`"),
    "poc": Command("poc", "run a job as separate processes on this machine (NVFlare's POC mode)"),
    "setup-party": Command("setup_party", "set up the startup kit of a site or server"),
    "predict": Command("models.predict", "masks and areas of new images, with a run's release"),
    "report": Command("report", "write results.json and report.html of a run again"),
    "check-bundle": Command("models.check_bundle", "check MONAI bundle folders"),
    "label-server": Command("models.label_server", "serve bundles or a run's release with MONAI Label"),
    "prepare-teacher": Command("models.prepare_teacher", "make a teacher bundle from an official SAM checkpoint"),
    "release-generator": Command("models.release_generator", "write a run's generator as a bundle"),
}
"""Sub-commands."""

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


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line: what is wrong, what there is to choose from, and where the help is."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end with status 2."""
        required = message.partition(" required: ")[2].split(", ")
        for action in self._actions:
            if action.choices and not action.option_strings and (action.metavar or action.dest) in required:
                message += f"; {action.metavar or action.dest} is one of {', '.join(map(str, action.choices))}"
        words = message.partition("unrecognized arguments: ")[2].split()
        if words and not words[0].startswith("-"):
            message += " (put a name with a space in quotes)"
        self.exit(2, f"{self.prog}: {message}. See `{self.prog} --help`\n")


class LateParser(OneLineParser):
    """A sub-command's parser, which imports the command's module when it is named.

    Attributes:
        modules: by command.
    """

    modules: Mapping[str, str] = {}

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Let the module declare its arguments, then parse them."""
        module = importlib.import_module(self.modules[self.prog.split()[-1]])
        self.description, self.formatter_class = module.__doc__, argparse.RawDescriptionHelpFormatter
        self.set_defaults(run=module.run)
        module.configure(self)
        return super().parse_known_args(args, namespace)


def parser_of(package: str, commands: Mapping[str, Command]) -> type[LateParser]:
    """Return the class of parsers for the commands of a package."""
    modules = {name: f"{package}.{command.module}" for name, command in commands.items()}
    return type("CommandParser", (LateParser,), {"modules": modules})


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with one sub-command for each of ``COMMANDS``."""
    text = "Federated segmentation of medical images: check sites, run, predict, report."
    parser = OneLineParser(prog="dsfedmed", description=text, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=parser_of("dsfedmed.cli", COMMANDS))
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.text, allow_abbrev=False)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return its exit status."""
    words = sys.argv[1:] if argv is None else argv

    def command() -> int:
        refuse_renamed_word(next(iter(words), ""), RENAMED)
        _end_with_launcher()
        parser = build_parser()
        if "_ARGCOMPLETE" in os.environ:  # a shell asks what could be written
            import argcomplete

            argcomplete.autocomplete(parser)
        args = parser.parse_args(words)
        return int(args.run(args))

    return exit_status("dsfedmed", command)


def _end_with_launcher() -> None:
    """End when the command that started this one is killed; else do nothing."""
    if "DSFEDMED_LAUNCHER" in os.environ:
        from dsfedmed.federated.party.launcher import end_with_launcher

        end_with_launcher()


def exit_status(program: str, command: Callable[[], int]) -> int:
    """Run ``command`` and return its exit status; an expected error is one line on stderr and status 2.

    Expected are the package's own, what the system says of a path, with the path's name, and a missing extra. A command
    that is stopped says so in one line, with status 128 and the signal's number (130 for Ctrl-C).
    """
    try:
        status = int(command())
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt as stop:  # `federated.party.stopping.Stopped` knows its signal
        print(f"{program}: {str(stop) or 'stopped'}", file=sys.stderr)
        return 128 + int(getattr(stop, "number", signal.SIGINT))
    except DSFedMedError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        extra = extra_of(error.name or "")
        if extra is None:
            raise
        print(f"{program}: {lacking([str(error.name)], [extra])}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.filename is None or error.errno not in OF_A_PATH:
            raise
        print(f"{program}: {error.filename}: {error.strerror}. Correct the path, or its rights.", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
