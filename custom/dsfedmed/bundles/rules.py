# SPDX-License-Identifier: Apache-2.0
"""What a site lets a bundle's configuration name and compute.

A MONAI configuration is code: ``_target_`` calls any importable function and ``$`` evaluates any expression. A site
that takes its network from a bundle therefore accepts only the modules below and expressions of a small grammar.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from dsfedmed.errors import ConfigError

TARGETS = (
    "monai.data.", "monai.engines.", "monai.handlers.", "monai.inferers.", "monai.losses.", "monai.metrics.",
    "monai.networks.blocks.", "monai.networks.layers.", "monai.networks.nets.", "monai.optimizers.",
    "monai.transforms.", "torch.nn.", "torch.optim.", "dsfedmed.bundles.", "dsfedmed.data.", "dsfedmed.networks.",
    "dsfedmed.generator.bundle.",
)  # fmt: skip
CALLS = ("torch.device", "torch.cuda.is_available", "monai.handlers.from_engine", "monai.utils.set_determinism")
METHODS = ("to", "parameters", "run")
VALUES = ("np.uint8", "np.float32", "torch.float32", "torch.uint8")
NODES = (
    ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Attribute, ast.Call, ast.keyword, ast.BinOp, ast.Add,
    ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.List, ast.Tuple, ast.Dict, ast.IfExp, ast.Compare, ast.Eq, ast.NotEq,
    ast.Subscript,
)  # fmt: skip
REFERENCE = re.compile(r"@(?:::|#)*\w+(?:(?:::|#)\w+)*")
FIX = "Use MONAI's, torch's or dsfedmed's own classes, and put anything else into the installed package."


def check_document(document: Any, where: object) -> None:
    """Refuse a configuration with a target, an expression or a file reference outside the rules.

    Raises:
        ConfigError: naming ``where``, the setting and what it holds.
    """
    for path, value in _leaves(document, ""):
        if path.endswith("_target_"):
            _check_target(path, value, where)
        elif isinstance(value, str) and value.startswith("$"):
            _check_expression(path, value, where)
        elif isinstance(value, str) and value.startswith("%"):
            _check_macro(path, value, where)


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f"{path}::{key}" if path else str(key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _leaves(value, f"{path}::{index}")
    else:
        yield path, node


def _check_target(path: str, value: Any, where: object) -> None:
    allowed = isinstance(value, str) and value.startswith(TARGETS) and "._" not in value
    if not allowed:
        raise ConfigError(where, f"{path} is '{value}', which a bundle may not call", FIX)


def _check_macro(path: str, value: str, where: object) -> None:
    """Refuse a macro that copies from another file: it would be looked up from wherever the command was started."""
    if re.search(r"\.(json|ya?ml)(::|#|$)", value):
        raise ConfigError(where, f"{path} copies from another file ('{value}')", "Write the setting out.")


def _check_expression(path: str, value: str, where: object) -> None:
    try:
        tree = ast.parse(REFERENCE.sub("_reference", value[1:]).strip(), mode="eval")
    except SyntaxError as error:
        raise ConfigError(where, f"{path} is '{value}', which is no plain expression", FIX) from error
    if not _allowed(tree):
        raise ConfigError(where, f"{path} is '{value}', beyond what a bundle may compute", FIX)


def _allowed(node: ast.AST) -> bool:
    if not isinstance(node, NODES):
        return False
    if isinstance(node, ast.Call):
        if not _allowed_call(node.func):
            return False
        return all(_allowed(child) for child in [*node.args, *(k.value for k in node.keywords)])
    if isinstance(node, ast.Attribute):
        return ast.unparse(node) in VALUES
    if isinstance(node, ast.Name):
        return node.id == "_reference"
    return all(_allowed(child) for child in ast.iter_child_nodes(node))


def _allowed_call(function: ast.expr) -> bool:
    if not isinstance(function, ast.Attribute):
        return False
    on_reference = isinstance(function.value, ast.Name) and function.value.id == "_reference"
    return (on_reference and function.attr in METHODS) or ast.unparse(function) in CALLS
