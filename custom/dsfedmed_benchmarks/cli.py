# SPDX-License-Identifier: Apache-2.0
"""Entry point of ``python -m dsfedmed_benchmarks``: a sub-command is imported when it is named."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from dsfedmed.cli.main import Command, OneLineParser, exit_status, parser_of

PROGRAM = "python -m dsfedmed_benchmarks"
COMMANDS = {
    "perf": Command("perf", "run one performance benchmark and write its table"),
    "gpu-check": Command("gpu_check", "run every stage once at full size with random weights: time and memory"),
    "compare-methods": Command(
        "compare_methods", "every method on the same sites, splits and seeds: one table, one picture"
    ),
    "ablation": Command("ablation", "one changed setting of DSFedMed a row, against FedAvg at equal rounds and steps"),
    "few-rounds": Command("few_rounds", "DSFedMed and FedAvg at few rounds, each tuned with the same budget"),
    "seeds-table": Command("seeds_table", "one table over several runs (mean over seeds)"),
    "pack-records": Command("pack_records", "add the records of complete runs to the archive of the committed results"),
    "fuzz-files": Command("fuzz_files", "damage files of every format and count what reading each of them comes to"),
    "poison": Command("poison", "one bad site among honest ones: each way of being bad under each rule"),
    "privacy-attacks": Command(
        "privacy_attacks", "attack a branch, a set, a release and an update: membership, extraction, inversion"
    ),
    "dp-branch": Command("dp_branch", "what differential privacy of a branch costs in Dice, by epsilon"),
    "poison-parts": Command("poison_parts", "one bad part in the synthetic set of a finished run"),
    "reference-pages": Command("reference_pages", "write the pages of settings and commands"),
    "tutorial": Command("tutorial", "run a tutorial notebook again and write its outputs into it"),
    "read-corpora": Command(
        "read_corpora", "read the image files that installed packages bring, and show what was read"
    ),
}
"""Sub-commands, each a module of `dsfedmed_benchmarks.commands`, and what it does."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with one sub-command for each of ``COMMANDS``."""
    parser = OneLineParser(prog=PROGRAM, description="Benchmarks of dsfedmed and tables over many runs.")
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", parser_class=parser_of("dsfedmed_benchmarks.commands", COMMANDS)
    )
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.text)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command; an expected error is one line on stderr and exit status 2."""
    args = build_parser().parse_args(argv)
    return exit_status("dsfedmed_benchmarks", lambda: args.run(args))
