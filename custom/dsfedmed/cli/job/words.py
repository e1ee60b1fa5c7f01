# SPDX-License-Identifier: Apache-2.0
"""The command line of a job folder, and the settings of the run that it asks for."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dsfedmed.cli.job.console import add_console_options
from dsfedmed.methods import METHODS
from dsfedmed.renamed import refuse_renamed_word

if TYPE_CHECKING:
    from dsfedmed.settings import Settings

NVFLARE = "nvflare"
ENGINES = (NVFLARE, "local", "local-processes")
TRACKING = ("tensorboard", "mlflow", "wandb")
STOPPED = "stopped; the same command resumes after the last finished stage"
"""What Ctrl-C and a request to end come to."""
RENAMED = {"--from": "--reuse"}
"""Options of version 0.3 under another name now."""


def build_parser(method: str, description: str) -> argparse.ArgumentParser:
    """Return the command line of a method's job folder."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add_run_options(parser)
    parser.add_argument("--gpus", type=int, default=0, help="GPUs that a written job asks of every party")
    parser.add_argument("--write-job", type=Path, metavar="DIR", help=f"only write the job folder DIR/{method}")
    return parser


def method_name(text: str) -> str:
    """Return the name of a method.

    Raises:
        argparse.ArgumentTypeError: it is none; the nearest one is named, and all of them.
    """
    if text in METHODS:
        return text
    near = difflib.get_close_matches(text.lower(), METHODS, n=1, cutoff=0.5)
    meant = f"did you mean {near[0]!r}? " if near else ""
    raise argparse.ArgumentTypeError(f"{text!r} is none of the methods; {meant}Methods: {', '.join(sorted(METHODS))}")


def add_settings_options(parser: argparse.ArgumentParser) -> None:
    """Declare what decides about a run's settings."""
    add = parser.add_argument_group("settings").add_argument
    add("--preset", default="cpu", help="name of one of the method's presets (%(default)s), or a path to a YAML file")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting (may be repeated)")
    add("--seed", type=int, help="seed of the run")
    add("--unseen", action="append", default=[], metavar="SITE", help="site held out until the end (may be repeated)")
    add("--label-site", metavar="SITE", help="use this site's labels as the public set (simulation)")


def add_run_options(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """Declare everything that a simulated run may be given.

    Args:
        parser: that gets the options.
        required: whether --sites and --out have to be given.
    """
    add = parser.add_argument
    add("--sites", type=Path, required=required, help="folder with one folder per site")
    add("--out", type=Path, required=required, metavar="RUN", help="run folder; an interrupted run there is resumed")
    add_settings_options(parser)
    add = parser.add_argument_group("weights and data").add_argument
    add("--teacher", type=Path, metavar="FILE", help="weights of the teacher (`dsfedmed pretrain-teacher`)")
    add("--generator", type=Path, metavar="DIR",
        help="Stable Diffusion folder, for `generator_model.base: stable_diffusion`")  # fmt: skip
    add("--generator-base", type=Path, metavar="FILE",
        help="weights of the base (`dsfedmed pretrain-generator`), for `generator.base: given`")  # fmt: skip
    add("--light-weights", type=Path, metavar="FILE", help="start weights of the light network, such as TinySAM's")
    add("--public", type=Path, metavar="DIR", help="labelled folder of the server (SAM-Fed)")
    amplitudes = "the simulated sites permit that amplitudes of their images reach the others (FedDG)"
    add("--send-amplitudes", action="store_true", help=amplitudes)
    add = parser.add_argument_group("machine").add_argument
    engine = "NVFlare's simulator, or without NVFlare: all sites in this process, or a process for each (same results)"
    add("--engine", choices=ENGINES, default=ENGINES[0], help=engine)
    add_tracking_option(parser)
    add("--device", default="cpu", help="torch device of the simulated parties (%(default)s)")
    add("--threads", type=int, default=1, help="CPU threads of each simulated site (%(default)s)")
    add("--server-threads", type=int, default=1, help="CPU threads of the server; 1 (the default) repeats exactly")
    add = parser.add_argument_group("run").add_argument
    add("--start-over", action="store_true", help="delete the run in --out and start from the beginning")
    add("--reuse", type=Path, metavar="RUN", help="finished run whose stages to reuse where they fit")
    leave = "a site that takes part in so many rounds and then leaves; local engines (may be repeated)"
    add("--leave", action="append", default=[], metavar="SITE=ROUND", help=leave)
    no_cases = "report without pictures and names of the sites' cases, which may be passed on"
    add("--no-cases", action="store_true", help=no_cases)
    add_console_options(parser)


def add_tracking_option(parser: argparse.ArgumentParser) -> None:
    """Declare what receives the curves of an NVFlare job."""
    text = "what the server writes curves for, over NVFlare (%(default)s); mlflow and wandb: extra [tracking]"
    parser.add_argument("--tracking", choices=TRACKING, default=TRACKING[0], help=text)


def parse_words(method: str, description: str, words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line of a method's job.

    Raises:
        ConfigError: an option of version 0.3, with its new name.
    """
    for word in words:
        refuse_renamed_word(word.partition("=")[0], RENAMED)
    return build_parser(method, description).parse_args(words)


def read_settings(args: argparse.Namespace, presets: Path) -> Settings:
    """Lay the command line over the preset."""
    from dsfedmed.settings import read_run

    return read_run(
        args.preset, args.set, presets=presets, unseen=args.unseen, seed=args.seed, label_site=args.label_site
    )


def planned_settings(method: str, folder: Path, words: Sequence[str]) -> Settings:
    """Return the settings of a run of ``folder``, ``jobs/METHOD``, with these words on its command line."""
    return read_settings(parse_words(method, "", words), folder / "presets")
