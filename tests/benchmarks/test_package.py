# SPDX-License-Identifier: Apache-2.0
"""Benchmarks are a package beside the product: not in its wheel, never imported by it, in rooms of readable size."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT, BENCHMARKS = ROOT / "custom" / "dsfedmed", ROOT / "custom" / "dsfedmed_benchmarks"
FOLDERS = sorted({path.parent for path in BENCHMARKS.rglob("*.py")})
MOST_MODULES = 16


def imported(file: Path) -> set[str]:
    """Return the names of the modules that a file imports, and its texts: a component may be named by one."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


def test_the_product_names_no_benchmark_code() -> None:
    files = sorted(PRODUCT.rglob("*.py"))
    assert len(files) > 100
    naming = [
        file.name for file in files if any(name.partition(".")[0] == "dsfedmed_benchmarks" for name in imported(file))
    ]
    assert naming == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_no_room_has_more_modules_than_one_can_read(folder: Path) -> None:
    modules = [path for path in folder.glob("*.py") if path.stem != "__init__"]
    assert len(modules) <= MOST_MODULES
    assert (folder / "__init__.py").exists()
