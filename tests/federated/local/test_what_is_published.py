# SPDX-License-Identifier: Apache-2.0
"""What a finished run publishes tells of no case: a search of every file for names, paths and pixels."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dsfedmed.reporting.report import build_report
from tests.runs.published import FILES, findings
from tests.runs.recording import Recording


@pytest.fixture(scope="module")
def published(dsfedmed_in_process: Recording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a finished run, of which nothing but its report is written again."""
    folder = tmp_path_factory.mktemp("published") / "run"
    shutil.copytree(dsfedmed_in_process.run, folder, ignore=shutil.ignore_patterns("store", "nvflare"))
    return folder


def test_a_report_without_cases_may_be_passed_on(published: Path, sites: Path) -> None:
    assert all((published / name).exists() for name in FILES)
    build_report(published, cases=False)
    assert findings(published, sites) == []
    assert "--no-cases" in (published / "report.html").read_text()


def test_the_search_finds_names_pixels_and_paths_where_they_are(published: Path, sites: Path) -> None:
    build_report(published)
    found = findings(published, sites)
    named = {find for find in found if find.startswith("name in report.html: test_")}
    shown = {find for find in found if find.startswith("pixels in report.html: site_")}
    assert len(named) > 3
    assert len(shown) > 6
    assert not [find for find in found if find.startswith("path") or "report.html" not in find]
    status = published / "status.json"
    status.write_text(status.read_text().replace("report.html", "/work/hospital/report.html"))
    assert "path in status.json: /work/hospital/report.html" in findings(published, sites)
