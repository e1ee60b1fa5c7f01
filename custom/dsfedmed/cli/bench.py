# SPDX-License-Identifier: Apache-2.0
"""Run a benchmark and write its table as JSON and Markdown.

Each benchmark has arguments of its own: see `dsfedmed bench NAME --help`. Example:
  dsfedmed bench distillation --scale cpu --out runs/bench
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from dsfedmed.benchmarks import BENCHMARKS
from dsfedmed.benchmarks.table import Benchmark

NAME = "bench"
HELP = "run a benchmark and write its table"
DEFAULT_OUT = Path("runs/bench")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments: one sub-command a benchmark."""
    parser.add_argument("--list", action="store_true", help="list the benchmarks and stop")
    names = parser.add_subparsers(metavar="NAME", dest="benchmark", parser_class=_BenchmarkParser)
    for name, text in BENCHMARKS.items():
        names.add_parser(name, help=text, description=text)


def run(args: argparse.Namespace) -> int:
    """Run the named benchmark, print its table and write both files; without a name, list them."""
    if args.list or args.benchmark is None:
        for name, text in BENCHMARKS.items():
            print(f"{name:14} {text}")
        return 0
    module = _module(args.benchmark)
    kind = options_type(module)
    values = {field.name: getattr(args, field.name) for field in dataclasses.fields(kind)}
    table: Benchmark = module.run(kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}))
    print(table.to_markdown())
    for path in table.write(args.out):
        print(path)
    return 0


def options_type(module: ModuleType) -> type[Any]:
    """Return the dataclass that ``module.run`` takes."""
    hints = typing.get_type_hints(module.run)
    first = next(iter(inspect.signature(module.run).parameters))
    return typing.cast(type[Any], hints[first])


class _BenchmarkParser(argparse.ArgumentParser):
    """Learn the benchmark's options when it is named, so that the other commands need not import every benchmark."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        self.add_argument("--out", type=Path, default=DEFAULT_OUT, metavar="DIR", help="folder of the two files")
        kind = options_type(_module(self.prog.split()[-1]))
        hints, texts = typing.get_type_hints(kind), _attribute_texts(kind)
        for field in dataclasses.fields(kind):
            default = field.default if field.default is not dataclasses.MISSING else None
            if field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            _add_option(self, field.name, hints[field.name], default, texts.get(field.name, ""))
        return super().parse_known_args(args, namespace)


def _add_option(parser: argparse.ArgumentParser, name: str, hint: Any, default: Any, text: str) -> None:
    """Add the argument of one dataclass field: a number, text, path, switch, choice or a tuple of one of the first."""
    inner = [kind for kind in typing.get_args(hint) if kind not in (type(None), Ellipsis)]
    more: dict[str, Any] = {"default": default, "help": f"{text} (default: {default})".strip()}
    if hint is bool:
        more["action"] = argparse.BooleanOptionalAction
    elif typing.get_origin(hint) is Literal:
        more["choices"] = inner
    elif typing.get_origin(hint) is tuple:
        more |= {"nargs": "+", "type": inner[0]}
    else:
        more["type"] = inner[0] if inner else hint
    parser.add_argument(f"--{name.replace('_', '-')}", **more)


def _attribute_texts(kind: type[Any]) -> dict[str, str]:
    """Return what the dataclass's docstring says of its attributes, up to the first stop or semicolon."""
    found = re.findall(r"^    (\w+): ((?:.|\n {8})+)", inspect.getdoc(kind) or "", flags=re.MULTILINE)
    return {name: re.split(r"[.;]\s|\.$", " ".join(text.split()))[0].replace("%", "%%") for name, text in found}


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"dsfedmed.benchmarks.{name}")
