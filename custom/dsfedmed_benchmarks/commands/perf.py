# SPDX-License-Identifier: Apache-2.0
"""Run a performance benchmark and write its table as JSON and Markdown.

Each has arguments of its own: see `perf NAME --help`. Example:
  python -m dsfedmed_benchmarks perf distillation --scale cpu --out runs/bench
"""

from __future__ import annotations

import argparse
import collections.abc
import dataclasses
import importlib
import inspect
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from dsfedmed_benchmarks.measurement.table import Benchmark
from dsfedmed_benchmarks.performance import BENCHMARKS

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
    values = {option.name: getattr(args, option.name) for option in options_of(module)}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    kind = _options_type(module)
    table: Benchmark = module.run(**values) if kind is None else module.run(kind(**values))
    print(table.to_markdown())
    for path in table.write(args.out):
        print(path)
    return 0


@dataclasses.dataclass(frozen=True)
class Option:
    """One argument of a benchmark; ``default`` is ``inspect.Parameter.empty`` where it must be given."""

    name: str
    hint: Any
    default: Any
    text: str


def options_of(module: ModuleType) -> list[Option]:
    """Return what ``module.run`` takes: the fields of its one dataclass, or its own parameters but for callbacks."""
    kind = _options_type(module)
    target = module.run if kind is None else kind
    hints, texts = typing.get_type_hints(target), _texts(target)
    found = inspect.signature(target).parameters.values()
    options = [Option(each.name, hints[each.name], _default(each, kind), texts.get(each.name, "")) for each in found]
    return [option for option in options if typing.get_origin(option.hint) is not collections.abc.Callable]


class _BenchmarkParser(argparse.ArgumentParser):
    """Learn the benchmark's options when it is named: nothing else then imports every benchmark."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        self.add_argument("--out", type=Path, default=DEFAULT_OUT, metavar="DIR", help="folder of the two files")
        for option in options_of(_module(self.prog.split()[-1])):
            _add_option(self, option)
        return super().parse_known_args(args, namespace)


def _add_option(parser: argparse.ArgumentParser, option: Option) -> None:
    """Add one argument: a number, text, path, switch, choice or a sequence of one of the first."""
    inner = [kind for kind in typing.get_args(option.hint) if kind not in (type(None), Ellipsis)]
    origin = typing.get_origin(option.hint)
    more: dict[str, Any] = {"help": option.text}
    if option.default is inspect.Parameter.empty:
        more["required"] = True
    else:
        more |= {"default": option.default, "help": f"{option.text} (default: {option.default})".strip()}
    if option.hint is bool:
        more["action"] = argparse.BooleanOptionalAction
    elif origin is Literal:
        more["choices"] = inner
    elif origin in (tuple, list, collections.abc.Sequence):
        more |= {"nargs": "+", "type": inner[0]}
    else:
        more["type"] = inner[0] if inner else option.hint
    parser.add_argument(f"--{option.name.replace('_', '-')}", **more)


def _options_type(module: ModuleType) -> type[Any] | None:
    """Return the dataclass that is the first parameter of ``module.run``, None if it takes something else."""
    hints = typing.get_type_hints(module.run)
    first = hints[next(iter(inspect.signature(module.run).parameters))]
    return first if dataclasses.is_dataclass(first) and isinstance(first, type) else None


def _default(parameter: inspect.Parameter, kind: type[Any] | None) -> Any:
    """Return a parameter's default; that of a field with a factory is what the factory makes."""
    factories = {each.name: each.default_factory for each in dataclasses.fields(kind)} if kind else {}
    factory = factories.get(parameter.name, dataclasses.MISSING)
    return parameter.default if factory is dataclasses.MISSING else factory()


def _texts(target: Any) -> dict[str, str]:
    """Return what the docstring, or those of base classes, say of arguments, up to the first stop or semicolon."""
    bases = reversed(target.__mro__) if isinstance(target, type) else [target]
    documents = "\n".join(inspect.cleandoc(base.__doc__ or "") for base in bases)
    found = re.findall(r"^    (\w+): ((?:.|\n {8})+)", documents, flags=re.MULTILINE)
    return {name: re.split(r"[.;]\s|\.$", " ".join(text.split()))[0].replace("%", "%%") for name, text in found}


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"dsfedmed_benchmarks.performance.{name}")
