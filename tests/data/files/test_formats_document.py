# SPDX-License-Identifier: Apache-2.0
"""Every row of docs/reference/formats.md is held by a test that exists."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = ROOT / "docs/reference/formats.md"
ROWS = [
    line.rsplit("|", 2)[1].strip()
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.rstrip("| ").endswith("test")
]


def test_there_are_rows() -> None:
    assert len(ROWS) > 60


@pytest.mark.parametrize("row", sorted(set(ROWS)))
def test_a_row_names_a_test(row: str) -> None:
    file, _, name = row.strip("`").partition("::")
    tree = ast.parse((ROOT / "tests/data" / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
