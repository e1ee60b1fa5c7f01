# SPDX-License-Identifier: Apache-2.0
"""A datalist in which every file is a patient, and names that say otherwise."""

from __future__ import annotations

from pathlib import Path

from dsfedmed.data.datalist import Item, SiteDatalist
from dsfedmed.data.review.findings import case_findings

PARTS = ("training", "validation", "test")


def listed(cases: dict[str, list[tuple[str, str]]]) -> SiteDatalist:
    """A datalist of (image, case) by part; nothing is read."""
    root = Path("site")
    parts = {part: tuple(Item(root / "images" / i, None, case) for i, case in cases.get(part, [])) for part in PARTS}
    return SiteDatalist("site", root, {0: "background", 1: "lesion"}, True, parts, "")


def slices(patients: range, count: int = 3) -> list[str]:
    return [f"patient{patient}_slice{number}.png" for patient in patients for number in range(count)]


def test_a_patient_in_two_parts_is_told() -> None:
    names = slices(range(4))
    split = {part: [(name, name) for name in names[start::3]] for start, part in enumerate(PARTS)}
    (told,) = case_findings(listed(split))
    assert (told.level, told.where) == ("warning", "site/datalist.json")
    assert "4 patients, 4 of them in more than one part ('patient0': patient0_slice0.png in training" in told.reason
    assert "--case-regex '(?i)" in told.fix


def test_patients_that_stay_in_one_part_are_not_told() -> None:
    split = {part: [(n, n) for n in slices(range(3 * k, 3 * k + 3))] for k, part in enumerate(PARTS)}
    assert case_findings(listed(split)) == []


def test_cases_that_were_given_are_believed() -> None:
    names = slices(range(4))
    split = {part: [(name, f"{name[-5]}") for name in names[start::3]] for start, part in enumerate(PARTS)}
    assert case_findings(listed(split)) == []


def test_names_without_a_patient_and_no_names_at_all() -> None:
    assert case_findings(listed({"training": [(f"{n}.png", f"{n}.png") for n in range(9)]})) == []
    assert case_findings(listed({})) == []
