# SPDX-License-Identifier: Apache-2.0
"""The command line of a job folder, and the settings of the run that it asks for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from dsfedmed.renamed import refuse_renamed_word
from dsfedmed.settings import Settings, read_run

ENGINES = ("nvflare", "local", "local-processes")
RENAMED = {"--from": "--reuse"}
"""Options of version 0.3 under another name now."""


def build_parser(method: str, description: str) -> argparse.ArgumentParser:
    """Return the command line of a method's job."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=Path, help="folder with one folder per site")
    parser.add_argument("--unseen", action="append", default=[], help="site held out until the end (may be repeated)")
    parser.add_argument("--preset", default="cpu", help="name of a file in presets/, or a path to a YAML file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting")
    parser.add_argument("--seed", type=int, help="seed of the run")
    parser.add_argument("--out", type=Path, help="run folder; an interrupted run there is resumed")
    over = "remove the run that is in --out, and begin anew there"
    parser.add_argument("--start-over", action="store_true", help=over)
    parser.add_argument("--reuse", type=Path, metavar="RUN", help="finished run whose stages to reuse where they fit")
    parser.add_argument("--teacher", type=Path, help="weights of the teacher (`dsfedmed pretrain-teacher`)")
    parser.add_argument(
        "--generator", type=Path, help="Stable Diffusion folder, for `generator_model.base: stable_diffusion`"
    )
    parser.add_argument(
        "--generator-base",
        type=Path,
        help="weights of the base (`dsfedmed pretrain-generator`), for `generator.base: given`",
    )
    parser.add_argument("--light-weights", type=Path, help="start weights of the light network, such as TinySAM's")
    parser.add_argument("--public", type=Path, help="labelled folder of the server (SAM-Fed)")
    parser.add_argument("--label-site", help="site whose labels play the public set (SAM-Fed)")
    parser.add_argument("--device", default="cpu", help="torch device of the simulated parties")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each simulated site")
    parser.add_argument("--server-threads", type=int, default=1, help="CPU threads of the server; 1 repeats exactly")
    engine = "NVFlare's simulator, or without NVFlare: all sites in this process, or a process for each (same results)"
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help=engine)
    leave = "a site that takes part in so many rounds and then leaves; local engines (may be repeated)"
    parser.add_argument("--leave", action="append", default=[], metavar="SITE=ROUND", help=leave)
    no_cases = "report without pictures and names of the sites' cases, which may be passed on"
    parser.add_argument("--no-cases", action="store_true", help=no_cases)
    parser.add_argument("--gpus", type=int, default=0, help="GPUs that a written job asks of every party")
    parser.add_argument("--write-job", type=Path, metavar="DIR", help=f"only write the job folder DIR/{method}")
    return parser


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
    return read_run(
        args.preset, args.set, presets=presets, unseen=args.unseen, seed=args.seed, label_site=args.label_site
    )


def planned_settings(method: str, folder: Path, words: Sequence[str]) -> Settings:
    """Return the settings of a run of ``folder``, ``jobs/METHOD``, with these words on its command line."""
    return read_settings(parse_words(method, "", words), folder / "presets")
