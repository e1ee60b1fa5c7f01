# SPDX-License-Identifier: Apache-2.0
"""SECURITY.md and the page for data protection name tests, files and settings that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dsfedmed.options import dotted
from dsfedmed.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("SECURITY.md", "docs/data-protection.md", "docs/attacks.md")
SECTIONS = ("robust", "synthetic", "schedule", "guard")


@pytest.mark.parametrize("page", PAGES)
def test_every_test_and_link_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/.]+)`", text)
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []
    assert named or links


@pytest.mark.parametrize("page", PAGES[:2])
def test_every_setting_is_one(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(rf"`((?:{'|'.join(SECTIONS)})\.\w+)", text)
    assert named
    assert set(named) <= {key for key, _ in dotted(Settings().to_dict())}


def test_every_promise_names_a_test() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
    assert len(rows) > 10
    assert [row for row in rows if "`tests/" not in row] == []
