# SPDX-License-Identifier: Apache-2.0
"""Run a notebook's code cells in this process, one after the other, and keep what they show.

A kernel and its protocol would be thirty packages. Cells are plain Python but for one rule: a line that starts with
``!dsfedmed`` is the command of that name, run in the same process; one that fails stops the notebook.
"""

from __future__ import annotations

import ast
import base64
import io
import json
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from dsfedmed.cli.main import main
from dsfedmed.errors import ConfigError

COMMAND = re.compile(r"^!dsfedmed (.+)$", re.MULTILINE)
Cell = dict[str, Any]


def read_notebook(path: Path) -> dict[str, Any]:
    """Read a notebook of format 4.

    Raises:
        ConfigError: it is none.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(path.name, f"cannot be read ({error})", "Name a notebook.") from error
    if not isinstance(document, dict) or document.get("nbformat") != 4:
        raise ConfigError(path.name, "not a notebook of format 4", "Save it again with Jupyter.")
    return document


def code_cells(document: dict[str, Any]) -> list[Cell]:
    """Return the cells that hold code, in their order."""
    return [cell for cell in document["cells"] if cell["cell_type"] == "code"]


def run_cells(cells: Sequence[Cell]) -> dict[str, Any]:
    """Run cells in one namespace and in the folder of this process; each cell's outputs and number are replaced.

    Returns:
        The namespace in the end.

    Raises:
        Exception: whatever a cell raises, and ConfigError where a command of it fails.
    """
    import matplotlib

    matplotlib.use("Agg")
    names: dict[str, Any] = {"__name__": "__main__", "_command": _command}
    for number, cell in enumerate(cells, start=1):
        cell["execution_count"], cell["outputs"] = number, list(_run("".join(cell["source"]), number, names))
    return names


def _run(source: str, number: int, names: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Run one cell; yield what it printed, what its last line is worth, and its figures."""
    tree = ast.parse(COMMAND.sub(lambda line: f"_command({line[1]!r})", source), f"cell {number}")
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        del tree.body[-1]
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(tree, f"cell {number}", "exec"), names)
        value = None
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)
    if printed.getvalue():
        yield {"output_type": "stream", "name": "stdout", "text": printed.getvalue().splitlines(keepends=True)}
    if value is not None:
        data = {"text/plain": repr(value).splitlines(keepends=True)}
        yield {"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data}
    yield from _figures()


def _figures() -> Iterator[dict[str, Any]]:
    """Yield matplotlib's open figures as PNG, each with its title as alternative text, and close them."""
    if "matplotlib.pyplot" not in sys.modules:
        return
    from matplotlib import pyplot

    for number in pyplot.get_fignums():
        figure, stream = pyplot.figure(number), io.BytesIO()
        figure.savefig(stream, format="png", dpi=80, bbox_inches="tight", metadata={"Software": None})
        text = figure.get_suptitle() or "figure"
        data = {"image/png": base64.b64encode(stream.getvalue()).decode(), "text/plain": [text]}
        yield {"output_type": "display_data", "metadata": {}, "data": data}
    pyplot.close("all")


def _command(words: str) -> None:
    if main(shlex.split(words)) != 0:
        raise ConfigError(f"dsfedmed {words}", "it failed", "Its last line above says why.")
