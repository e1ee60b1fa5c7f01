# SPDX-License-Identifier: Apache-2.0
"""All findings of a site in one order: errors, warnings, notes, wherever they come from."""

from __future__ import annotations

import shutil
from pathlib import Path

from dsfedmed.data.review.whole_site import check_whole_site
from tests.data.review.test_duplicates import Document, site


def copy_within_training(folder: Path, document: Document) -> None:
    first, second = (folder / document["training"][number]["image"] for number in (0, 1))
    shutil.copy(first, second)
    shutil.copy(first, folder / "images/unlisted.png")


def test_a_note_on_the_files_comes_behind_a_warning_on_the_images(tmp_path: Path) -> None:
    check, items = check_whole_site(site(tmp_path, copy_within_training))
    assert len(items) == 6
    told = [(finding.level, Path(finding.where).name) for finding in check.findings]
    assert told == [("warning", "3.png"), ("note", "unlisted.png")]
