# SPDX-License-Identifier: Apache-2.0
"""The program's source as syntax trees: nothing is imported, so that what these tests say does not depend on it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CUSTOM = ROOT / "custom"
PRODUCT, BENCHMARKS = "dsfedmed", "dsfedmed_benchmarks"
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Import:
    """What a module imports.

    Attributes:
        name: dotted, as written, such as ``dsfedmed.errors.DSFedMedError``.
        line: where.
        is_late: within a function, so not when the module is imported.
        is_for_types: for the type checker only.
    """

    name: str
    line: int
    is_late: bool
    is_for_types: bool


@dataclass(frozen=True)
class Module:
    """A file of source."""

    name: str
    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def room(self) -> str:
        """Its folder below the package, such as ``federated/server``; empty for a module of the package itself."""
        folder = self.path.parent.relative_to(CUSTOM).parts[1:]
        return "/".join(folder[:2] if folder[:1] == ("federated",) else folder[:1])

    @cached_property
    def imports(self) -> list[Import]:
        return list(_imports(self.tree.body, self._package, late=False, types=False))

    @property
    def _package(self) -> str:
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]

    def functions(self) -> Iterator[tuple[Function, bool]]:
        """Yield every function, and whether it is a method that takes ``self`` or ``cls``."""
        for node in ast.walk(self.tree):
            inside = isinstance(node, ast.ClassDef)
            for child in ast.iter_child_nodes(node):
                if isinstance(child, Function):
                    yield child, inside and not _is_static(child)


@lru_cache(maxsize=1)
def modules() -> dict[str, Module]:
    """Return every module of the product and its benchmarks by its dotted name."""
    found = {}
    for path in sorted(CUSTOM.rglob("*.py")):
        parts = path.relative_to(CUSTOM).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(name, path)
    return found


def of_package(package: str) -> list[Module]:
    """Return the modules of one package."""
    return [module for name, module in modules().items() if name.split(".")[0] == package]


def module_of(name: str) -> Module | None:
    """Return the module that an imported name lies in; None where it is none of ours."""
    while name and name not in modules():
        name = name.rpartition(".")[0]
    return modules().get(name)


def _imports(body: list[ast.stmt], package: str, *, late: bool, types: bool) -> Iterator[Import]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, late, types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] + "." if node.level else ""
            where = f"{above}{node.module or ''}".rstrip(".")
            yield from (Import(f"{where}.{alias.name}", node.lineno, late, types) for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from _imports(node.body, package, late=late, types=True)
            yield from _imports(node.orelse, package, late=late, types=types)
        else:
            within = late or isinstance(node, Function)
            for name in ("body", "orelse", "finalbody", "handlers", "cases"):
                inner = getattr(node, name, [])
                yield from _imports(
                    [child for child in inner if isinstance(child, ast.AST)], package, late=within, types=types
                )


def _is_static(function: Function) -> bool:
    return any(
        isinstance(decorator, ast.Name) and decorator.id == "staticmethod" for decorator in function.decorator_list
    )
