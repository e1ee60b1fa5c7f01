# SPDX-License-Identifier: Apache-2.0
"""The site check lists every problem with its file and its fix."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dsfedmed.data.checks import check_site, inspect_site
from tests.data.conftest import MakeSite, write_image


def test_a_good_site_has_no_findings(make_site: MakeSite, make_volume: Callable[..., Path]) -> None:
    assert check_site(make_site()) == []
    found = inspect_site(make_volume())
    assert found.observed == {"training": (0, 1), "validation": (), "test": (0, 1)}
    assert [finding.level for finding in found.findings] == ["warning"]  # no validation part


def test_every_kind_of_problem_is_listed_at_once(make_site: MakeSite) -> None:
    folder = make_site(training=6, validation=1)
    (folder / "images/training0.png").write_bytes(b"no picture")
    write_image(folder / "labels/training1.png", np.zeros((5, 5), np.uint8))
    write_image(folder / "labels/training2.png", np.full((12, 16), 9, np.uint8))
    (folder / "labels/training3.png").unlink()
    write_image(folder / "images/training4.png", np.full((12, 16), 80, np.uint8))
    document = json.loads((folder / "datalist.json").read_text())
    document["test"].append(document["validation"][0])
    del document["test"][0]["label"]
    (folder / "datalist.json").write_text(json.dumps(document))
    findings = check_site(folder)
    errors = {(Path(finding.where).name, finding.reason[:20]) for finding in findings if finding.level == "error"}
    assert errors == {
        ("training0.png", "it cannot be read (c"),
        ("training1.png", "the mask is 5 x 5 an"),
        ("training2.png", "label values 9 are n"),
        ("training3.png", "the file is missing"),
        ("datalist.json", "case 'validation0' s"),
        ("site (test)", "1 of 3 images have n"),
    }
    assert ("training4.png", "the image is blank") in {(Path(f.where).name, f.reason) for f in findings}
    assert all(finding.fix for finding in findings)
    levels = [finding.level for finding in findings]
    assert levels == sorted(levels, key=["error", "warning", "note"].index)


def test_an_empty_site_and_no_site(make_site: MakeSite, tmp_path: Path) -> None:
    empty = check_site(make_site("empty", training=0, validation=0, test=0))
    assert ("error", "the site is empty") in {(finding.level, finding.reason) for finding in empty}
    assert check_site(tmp_path / "nowhere")[0].level == "error"


def test_a_damaged_volume_is_one_finding(make_volume: Callable[..., Path]) -> None:
    folder = make_volume()
    write_image(folder / "test_label.nii.gz", np.zeros((5, 7, 3), np.uint8))
    errors = [finding for finding in check_site(folder) if finding.level == "error"]
    assert [Path(error.where).name for error in errors] == ["test_label.nii.gz"]
    assert "7 x 5 x 3" in errors[0].reason


def test_a_class_that_never_occurs_is_a_warning(make_site: MakeSite) -> None:
    folder = make_site(labels={"0": "background", "1": "disc", "2": "cup", "3": "vessel"})
    findings = check_site(folder)
    assert {finding.level for finding in findings} == {"warning"}
    assert "vessel" in findings[0].reason
