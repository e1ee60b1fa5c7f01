# SPDX-License-Identifier: Apache-2.0
"""The size of things: files, functions, parameter lists and folders, as CONTRIBUTING.md asks for."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from statistics import median, quantiles

from tests.architecture.source import CUSTOM, Function, Module, modules

MOST_LINES_OF_A_FILE, MEDIAN_OF_FILES, MOST_FILES = 400, 120, 300
MOST_LINES_OF_A_FUNCTION, MEDIAN_OF_FUNCTIONS, MOST_FUNCTIONS = 80, 12, 40
MOST_PARAMETERS = 7
MOST_MODULES = 16
LONGER_LISTS = {
    "dsfedmed.bundles.release.write_release": 9,
    "dsfedmed.networks.personal_sam.build_personal_sam": 10,  # each is a key of a bundle's network_def
    "dsfedmed_benchmarks.performance.samplers.run": 10,
}
LARGER_FOLDERS = {"dsfedmed/flare": 17}
"""Exceptions, and how much of one each is. None is to be added."""


def everything() -> list[Module]:
    """Return every module of the product and its benchmarks."""
    return list(modules().values())


def test_no_file_is_long() -> None:
    lines = {module.name: len(module.text.splitlines()) for module in everything()}
    long = {name: count for name, count in lines.items() if count > MOST_LINES_OF_A_FILE}
    assert not long, long
    assert median(lines.values()) <= MEDIAN_OF_FILES
    assert quantiles(lines.values(), n=20)[-1] <= MOST_FILES


def test_no_function_is_long() -> None:
    lines = {f"{m.name}.{f.name}:{f.lineno}": _lines(f) for m in everything() for f, _ in m.functions()}
    long = {name: count for name, count in lines.items() if count > MOST_LINES_OF_A_FUNCTION}
    assert not long, long
    assert median(lines.values()) <= MEDIAN_OF_FUNCTIONS
    assert quantiles(lines.values(), n=20)[-1] <= MOST_FUNCTIONS


def test_no_function_takes_a_long_list_of_parameters() -> None:
    taken = {f"{m.name}.{f.name}": _parameters(f, is_method) for m in everything() for f, is_method in m.functions()}
    long = {name: count for name, count in taken.items() if count > LONGER_LISTS.get(name, MOST_PARAMETERS)}
    assert not long, long


def test_no_folder_holds_more_modules_than_a_reader_can() -> None:
    held = Counter(str(m.path.parent.relative_to(CUSTOM)) for m in everything() if m.path.name != "__init__.py")
    large = {folder: count for folder, count in held.items() if count > LARGER_FOLDERS.get(folder, MOST_MODULES)}
    assert not large, large


def test_every_public_name_is_documented_and_typed() -> None:
    wrong = [problem for module in everything() for problem in _problems(module)]
    assert not wrong, wrong


def test_a_name_without_document_or_type_is_found() -> None:
    text = 'def f(a, *, b: int) -> int: ...\ndef _g(a): ...\nclass A:\n    "x"\n    def h(self) -> None: ...\n'
    assert list(_undocumented(ast.parse(text), "m")) == ["m.f", "m.A.h"]
    (f, g) = [node for node in ast.parse(text).body if isinstance(node, Function)]
    assert _is_typed(f, False) is False
    assert _is_typed(g, False) is False


def _problems(module: Module) -> Iterator[str]:
    if module.text.strip() and not ast.get_docstring(module.tree):
        yield f"{module.name} says nothing"
    yield from (f"{name} is not documented" for name in _undocumented(module.tree, module.name))
    for function, is_method in module.functions():
        if not _is_typed(function, is_method):
            yield f"{module.name}.{function.name}:{function.lineno} is not typed"


def _undocumented(node: ast.Module | ast.ClassDef, where: str) -> Iterator[str]:
    """Yield public classes, functions and methods without a docstring; ``__init__`` is documented by its class."""
    for child in node.body:
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and not child.name.startswith("_"):
            if not ast.get_docstring(child):
                yield f"{where}.{child.name}"
            if isinstance(child, ast.ClassDef):
                yield from _undocumented(child, f"{where}.{child.name}")


def _is_typed(function: Function, is_method: bool) -> bool:
    found = function.args
    named = [*found.posonlyargs, *found.args][1 if is_method else 0 :]
    variable = [argument for argument in (found.vararg, found.kwarg) if argument is not None]
    return function.returns is not None and all(a.annotation for a in [*named, *found.kwonlyargs, *variable])


def _lines(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _parameters(function: Function, is_method: bool) -> int:
    found = function.args
    variable = [argument for argument in (found.vararg, found.kwarg) if argument is not None]
    return len([*found.posonlyargs, *found.args, *found.kwonlyargs, *variable]) - is_method
