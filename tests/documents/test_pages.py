# SPDX-License-Identifier: Apache-2.0
"""The documents: links lead somewhere, commands exist with their options, and figures are those of the results."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest
import yaml

from dsfedmed.cli.main import COMMANDS
from dsfedmed.version import VERSION
from dsfedmed_benchmarks.commands.reference_pages import pages

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "poc").rglob("*.md"))
    if ".venv" not in path.parts
)
LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")
FIGURE = re.compile(r"\d+\.\d")


def blocks(text: str) -> list[str]:
    """Return the command lines of a page's code blocks, continued lines joined."""
    found = []
    for block in re.findall(r"^```(?:\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        found += block.replace("\\\n", " ").splitlines()
    return found


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in LINK.findall(text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{page.name}: {target}"


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        if page.name == "CHANGELOG.md" or "reference" in page.parts:
            continue
        lines = blocks(page.read_text(encoding="utf-8"))
        found += [(str(page.relative_to(ROOT)), line.split("#")[0].strip()) for line in lines if "dsfedmed " in line]
    return [(page, line) for page, line in found if line.startswith("dsfedmed ")]


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_exists_with_its_options(page: str, line: str) -> None:
    _, name, *words = shlex.split(line.replace("...", ""))
    if name.startswith("-"):
        return
    parser = argparse.ArgumentParser(exit_on_error=False)
    importlib.import_module(f"dsfedmed.cli.{COMMANDS[name].module}").configure(parser)
    known = {option for action in parser._actions for option in action.option_strings}
    asked = {word.split("=")[0] for word in words if word.startswith("--")}
    assert asked <= known, f"{page}: {line}"


def test_there_are_commands_to_look_at() -> None:
    assert {"run", "demo", "check-site", "build-datalist", "poc"} <= {line.split()[1] for _, line in commands()}


def test_the_readme_is_short_and_its_figures_are_those_of_the_linked_results() -> None:
    assert len(README.splitlines()) <= 140
    rows = [line for line in README.splitlines() if line.startswith("|") and "](docs/results/" in line]
    assert 3 <= len(rows) <= 5
    for row in rows:
        pages_linked = [(ROOT / target).read_text(encoding="utf-8") for target in LINK.findall(row)]
        held = {figure for page in pages_linked for figure in FIGURE.findall(page)}
        figures = FIGURE.findall(row)
        assert figures, row
        assert set(figures) <= held, row


def test_the_pages_made_from_the_code_are_up_to_date() -> None:
    for name, text in pages().items():
        assert (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") == text, f"{name}: run `make docs`"


def test_every_page_is_in_the_site_s_navigation_or_a_result() -> None:
    def files(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        values = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ()
        return [name for value in values for name in files(value)]

    named = set(files(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))
    notebooks = {str(path.relative_to(ROOT / "docs").with_suffix(".md")) for path in (ROOT / "docs").rglob("*.ipynb")}
    assert notebooks <= named
    assert all((ROOT / "docs" / name).is_file() for name in named - notebooks)
    there = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert {name for name in there if not name.startswith("results/")} <= named


def test_the_version_is_said_alike() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"]
    assert cited == VERSION
    assert f"dsfedmed-{VERSION}-py3-none-any.whl" in README
