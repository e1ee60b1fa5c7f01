# SPDX-License-Identifier: Apache-2.0
"""No parameter of the federation is a bag: what crosses a function of ``federated/`` or ``flare/`` has a type.

A mapping to ``Any`` or ``object`` takes whatever a server, a site or a file said, under any key, and every callee may
read it. The two codecs are where such content is turned into types.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache

import pytest

from tests.architecture.source import PRODUCT, Function, Module, modules, of_package

CODECS = ("dsfedmed.federated.wire.codec", "dsfedmed.flare.codec")
MAPPINGS = frozenset({"dict", "Dict", "Mapping", "MutableMapping", "OrderedDict", "defaultdict", "DefaultDict"})
ANYTHING = frozenset({"Any", "object"})


def is_bag(annotation: ast.expr) -> bool:
    """Tell an annotation that somewhere within is a mapping to anything, under whatever name."""
    return any(_is_bag(part) for part in _parts(annotation))


def _is_bag(node: ast.expr) -> bool:
    return _maps_to_anything(node) or _name(node) in MAPPINGS or _name(node) in aliases()


def _maps_to_anything(node: ast.expr) -> bool:
    if not isinstance(node, ast.Subscript) or _name(node.value) not in MAPPINGS:
        return False
    values = node.slice.elts[1:] if isinstance(node.slice, ast.Tuple) else []
    return any(_name(part) in ANYTHING for value in values for part in _parts(value) if _is_whole(value, part))


def _is_whole(value: ast.expr, part: ast.expr) -> bool:
    """Tell whether the values are of the type ``part``, or of a union with it (and not, say, a class with a field)."""
    while isinstance(value, ast.BinOp):
        if value.right is part:
            return True
        value = value.left
    return value is part


def _parts(node: ast.expr) -> Iterator[ast.expr]:
    """Yield an annotation and all it is made of; the name before ``[...]`` is no part of its own."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        node = ast.parse(node.value, mode="eval").body
    yield node
    if isinstance(node, ast.Subscript):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    elif isinstance(node, ast.BinOp):
        inner = [node.left, node.right]
    else:
        inner = node.elts if isinstance(node, (ast.Tuple, ast.List)) else []
    for part in inner:
        yield from _parts(part)


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


@lru_cache(maxsize=1)
def aliases() -> frozenset[str]:
    """Return names that stand for a mapping to anything, such as ``Document = dict[str, Any]``."""
    found: set[str] = set()
    for module in modules().values():
        for node in module.tree.body:
            value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if isinstance(value, ast.Subscript) and any(_maps_to_anything(part) for part in _parts(value)):
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(found)


def parameters(module: Module) -> Iterator[tuple[str, int, ast.expr]]:
    """Yield name, line and annotation of every parameter, the fields of dataclasses included."""
    for function, _ in module.functions():
        for argument in _arguments(function):
            if argument.annotation is not None:
                yield f"{function.name}({argument.arg})", argument.lineno, argument.annotation
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(d) for d in node.decorator_list):
            for field in node.body:
                if isinstance(field, ast.AnnAssign):
                    yield f"{node.name}({ast.unparse(field.target)})", field.lineno, field.annotation


def _arguments(function: Function) -> list[ast.arg]:
    found = function.args
    variable = [argument for argument in (found.vararg, found.kwarg) if argument is not None]
    return [*found.posonlyargs, *found.args, *found.kwonlyargs, *variable]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("dict[str, Any]", True),
        ("Mapping[str, object] | None", True),
        ("list[dict[str, Any]]", True),
        ("dict[str, dict[str, Any]]", True),
        ("dict", True),
        ("typing.Mapping", True),
        ("'dict[str, Any]'", True),
        ("Callable[[Mapping[str, Any]], int]", True),
        ("dict[str, Any | None]", True),
        ("dict[str, Task[Any, Any]]", False),
        ("Any", False),
        ("object", False),
        ("dict[str, Json]", False),
        ("Mapping[str, Tensor]", False),
        ("Callable[..., Any]", False),
    ],
)
def test_a_bag_is_told_by_its_annotation(annotation: str, expected: bool) -> None:
    assert is_bag(ast.parse(annotation, mode="eval").body) is expected


def test_no_parameter_of_the_federation_is_a_bag() -> None:
    watched = [m for m in of_package(PRODUCT) if m.room.split("/")[0] in ("federated", "flare")]
    assert len(watched) > 80
    wrong = [
        f"{module.name}:{line} {name}: {ast.unparse(annotation)}"
        for module in watched
        if module.name not in CODECS
        for name, line, annotation in parameters(module)
        if is_bag(annotation)
    ]
    assert not wrong, "\n".join(wrong)
