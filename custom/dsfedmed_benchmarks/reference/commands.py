# SPDX-License-Identifier: Apache-2.0
"""The page of all commands: what each does, and its arguments."""

from __future__ import annotations

import argparse
import importlib
import inspect

from dsfedmed.cli.main import COMMANDS

HEAD = """# Commands

What `dsfedmed COMMAND --help` says as well; made from the code (`make docs`). The benchmarks of a checkout are
`python -m dsfedmed_benchmarks --help`.
"""


def commands_page() -> str:
    """Return the page as Markdown."""
    lines = [HEAD, "| command | what it does |", "|---|---|"]
    lines += [f"| [`{name}`](#{name}) | {command.text} |" for name, command in COMMANDS.items()]
    for name in COMMANDS:
        lines += ["", f"## {name}", "", *_section(name)]
    return "\n".join(lines) + "\n"


def _section(name: str) -> list[str]:
    module = importlib.import_module(f"dsfedmed.cli.{COMMANDS[name].module}")
    parser = argparse.ArgumentParser(f"dsfedmed {name}")
    module.configure(parser)
    rows = [_row(action) for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    said = inspect.cleandoc(module.__doc__ or "")
    return ["```text", said, "```", "", "| argument | values | meaning |", "|---|---|---|", *rows]


def _row(action: argparse.Action) -> str:
    shown = ", ".join(f"`{option}`" for option in action.option_strings) or f"`{action.metavar or action.dest}`"
    values = action.metavar or action.dest.upper()
    if action.choices is not None:
        values = ", ".join(f"`{choice}`" for choice in action.choices)
    elif action.nargs == 0 or not action.option_strings:
        values = ""
    elif isinstance(values, tuple):
        values = " ".join(values)
    meaning = (action.help or "").replace("%(default)s", str(action.default)).replace("|", "\\|")
    needed = " **Needed.**" if action.required and action.option_strings else ""
    return f"| {shown} | {values} | {meaning}{needed} |"
