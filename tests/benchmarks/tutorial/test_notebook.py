# SPDX-License-Identifier: Apache-2.0
"""The tutorial runs from its first cell to its last, and its committed outputs are those of its code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dsfedmed.errors import ConfigError
from dsfedmed_benchmarks.tutorial.notebook import code_cells, read_notebook, run_cells

ROOT = Path(__file__).resolve().parents[3]
NOTEBOOKS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))
ROUNDS = "ROUNDS = 6"


def cell(source: str) -> dict[str, Any]:
    return {"cell_type": "code", "source": source.splitlines(keepends=True), "outputs": [], "execution_count": None}


def test_the_first_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    document = read_notebook(ROOT / "docs" / "tutorials" / "first_run.ipynb")
    first = code_cells(document)[0]
    text = "".join(first["source"])
    assert text.count(ROUNDS) == 1
    first["source"] = [text.replace(ROUNDS, "ROUNDS = 1")]
    names = run_cells(code_cells(document))
    assert names["results"].complete, names["results"].verdict
    assert [one.mask.shape for one in names["found"]] == [(64, 80), (64, 80), (64, 72)]
    assert (tmp_path / "runs" / "first" / "report.html").is_file()
    kinds = [output["output_type"] for found in code_cells(document) for output in found["outputs"]]
    assert kinds.count("display_data") == 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_is_committed_as_it_was_run(path: Path) -> None:
    assert path.stat().st_size < 300_000
    cells = code_cells(read_notebook(path))
    assert [found["execution_count"] for found in cells] == list(range(1, len(cells) + 1))
    assert not any(output["output_type"] == "error" for found in cells for output in found["outputs"])
    text = path.read_text(encoding="utf-8")
    assert "/tmp" not in text
    assert "image/png" in text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_its_links_lead_somewhere(path: Path) -> None:
    words = "".join("".join(found["source"]) for found in read_notebook(path)["cells"] if found["cell_type"] != "code")
    targets = re.findall(r"\]\(([^)#\s]+)", words)
    assert targets
    assert all((path.parent / target).is_file() for target in targets)


def test_what_a_cell_shows(capsys: pytest.CaptureFixture[str]) -> None:
    cells = [cell("import matplotlib.pyplot as plt\nprint(1)\n3 * 7"), cell('_ = plt.figure().suptitle("a line")\n')]
    names = run_cells(cells)
    printed, value = cells[0]["outputs"]
    assert printed["text"] == ["1\n"]
    assert value["data"]["text/plain"] == ["21"]
    (figure,) = cells[1]["outputs"]
    assert figure["data"]["text/plain"] == ["a line"]
    assert names["plt"].get_fignums() == []
    assert capsys.readouterr().out == ""


def test_a_command_is_run_in_the_same_process_and_may_not_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    good = cell("!dsfedmed demo-sites sites --sites site_a --training 1 --validation 0 --test 0")
    run_cells([good])
    assert good["outputs"][0]["text"] == ["sites/site_a\n"]
    with pytest.raises(ConfigError, match="dsfedmed check-site nowhere"):
        run_cells([cell("!dsfedmed check-site nowhere")])
    with pytest.raises(ZeroDivisionError):
        run_cells([cell("1 / 0")])


def test_only_notebooks_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": [], "nbformat": 3}))
    with pytest.raises(ConfigError, match="not a notebook of format 4"):
        read_notebook(tmp_path / "a.ipynb")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_notebook(tmp_path / "b.ipynb")
