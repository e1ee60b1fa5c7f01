# SPDX-License-Identifier: Apache-2.0
"""The expressions (``$...``) that a bundle's configuration may compute: a small grammar of Python's.

MONAI hands an expression to ``eval`` once every reference (``@id``) in it is replaced, inside quotes too. So references
inside quotes are refused, and paths may only be added to the bundle's own folders.
"""

from __future__ import annotations

import ast
import re

REFERENCE = re.compile(r"@(\w+(?:::\w+)*)")
LONGEST = 200
CALLS = ("torch.device", "torch.cuda.is_available", "monai.handlers.from_engine", "monai.utils.set_determinism")
METHODS = ("to", "parameters", "run")
VALUES = ("np.uint8", "np.float32", "torch.float32", "torch.uint8")
FOLDERS = ("bundle_root", "ckpt_dir")
"""References that a path below them may be added to."""
NODES = (
    ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Attribute, ast.Call, ast.keyword, ast.BinOp, ast.Add,
    ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.List, ast.Tuple, ast.Dict, ast.IfExp, ast.Compare, ast.Eq, ast.NotEq,
    ast.Subscript,
)  # fmt: skip
BELOW = re.compile(r"(/[\w-]+(\.[\w-]+)*)+")
WORD = re.compile(r"[\w-]*")


def parse_expression(text: str) -> Expression | None:
    """Return an expression (without its ``$``) ready to be judged, or None where it is not Python at all."""
    names: dict[str, str] = {}

    def named(match: re.Match[str]) -> str:
        name = f"__reference_{len(names)}"
        names[name] = match.group(1)
        return name

    plain = REFERENCE.sub(named, text.replace("#", "::")).strip()  # MONAI takes # for :: as well
    if len(plain) > LONGEST:
        return None
    try:
        return Expression(ast.parse(plain, mode="eval"), names)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


class Expression:
    """A parsed expression, with references as plain names.

    Args:
        tree: what was parsed.
        names: name in the tree -> id that it refers to.
    """

    def __init__(self, tree: ast.AST, names: dict[str, str]) -> None:
        self.tree, self.names = tree, names

    def is_allowed(self) -> bool:
        """Whether the grammar has it."""
        return self._allowed(self.tree)

    def _allowed(self, node: ast.AST) -> bool:
        if not isinstance(node, NODES):
            return False
        if isinstance(node, ast.Call):
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            return self._callable(node.func) and all(self._allowed(child) for child in given)
        if isinstance(node, ast.Attribute):
            return ast.unparse(node) in VALUES
        if isinstance(node, ast.Name):
            return node.id in self.names
        if isinstance(node, ast.Constant):
            return not isinstance(node.value, (str, bytes)) or self._plain(node.value)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and not self._adds_number(node):
            return self._path(node)
        return all(self._allowed(child) for child in ast.iter_child_nodes(node))

    def _callable(self, function: ast.expr) -> bool:
        if not isinstance(function, ast.Attribute):
            return False
        target = function.value
        on_reference = isinstance(target, ast.Name) and target.id in self.names
        return (on_reference and function.attr in METHODS) or ast.unparse(function) in CALLS

    @staticmethod
    def _adds_number(node: ast.BinOp) -> bool:
        sides = (node.left, node.right)
        return any(isinstance(side, ast.Constant) and isinstance(side.value, (int, float)) for side in sides)

    def _path(self, node: ast.BinOp) -> bool:
        """Whether this is ``@bundle_root + '/models'``, or the like."""
        left, right = node.left, node.right
        folder = isinstance(left, ast.Name) and self.names.get(left.id) in FOLDERS
        below = isinstance(right, ast.Constant) and isinstance(right.value, str) and BELOW.fullmatch(right.value)
        return folder and bool(below)

    @staticmethod
    def _plain(text: str | bytes) -> bool:
        return isinstance(text, str) and WORD.fullmatch(text) is not None and "__reference_" not in text
