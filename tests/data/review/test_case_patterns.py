# SPDX-License-Identifier: Apache-2.0
"""Names that say who the patient is, and names that do not."""

from __future__ import annotations

import hashlib
import re

import pytest

from dsfedmed.data.review.case_patterns import propose_cases

PATTERNS = {
    "patient{p}_slice{i:02}.png": "patient3",
    "patient{p}slice{i:02}.png": "patient3",
    "P{p:02}-{i:02}.png": "P03",
    "case_{p:03}_image_{i}.dcm": "case_003",
    "{p:04}_{i}_CC.png": "0003",
    "sub-{p:02}_ses-{i:02}.nii.gz": "sub-03",
    "sub-AB{p}_ses-{i}_T2w.nii.gz": "sub-AB3",
    "img_{i}_patient{p}.png": "patient3",
    "{p:03}/slice{i}.png": "003",
    "patient_{p}/{i}.png": "patient_3",
    "1.2.840.{p}77/{i}.dcm": "1.2.840.377",
    "TCGA-CS-49{p}1_1996_{i}.tif": "TCGA-CS-4931",
    "study1_00{p}2_{i}.png": "study1_0032",
    "{p}a{i}.png": "3",
    "vol{p}_slice{i}.png": "vol3",
    "PAT0{p} ({i}).jpg": "PAT03",
}


@pytest.mark.parametrize(("form", "third"), PATTERNS.items())
def test_a_pattern_groups_the_files_of_a_patient(form: str, third: str) -> None:
    names = [form.format(p=patient, i=image) for patient in range(5) for image in range(3)]
    found = propose_cases(names)
    assert found is not None
    assert (found.patients, found.files) == (5, 15)
    assert [name for name, case in zip(names, found.cases, strict=True) if case == third] == names[9:12]
    match = re.search(found.regex, names[9])
    assert match is not None
    assert match.group(1) == third
    assert list(found.example) == sorted(names[:3])


HASHES = [hashlib.sha256(bytes([n])).hexdigest() + ".png" for n in range(200)]


@pytest.mark.parametrize(
    "names",
    [
        [f"{n:04}.png" for n in range(100)],
        [f"ISIC_{n:07}.jpg" for n in range(100)],
        [f"img{n}.png" for n in range(100)],
        [f"case{n:04}_0.png" for n in range(100)],
        [f"benign ({n}).png" for n in range(50)] + [f"malignant ({n}).png" for n in range(50)],
        [f"{kind}/{n}.png" for kind in ("benign", "malignant", "normal") for n in range(50)],
        [f"training_{n:04}.png" for n in range(100)],
        [f"scanner{1 + n % 2}_{n:04}.png" for n in range(100)],
        HASHES,
        HASHES[:6],
        [f"{h[:8]}-{h[8:12]}-{h[12:16]}.png" for h in HASHES],
        [f"1.2.840.113619.{n}.{n + 7}.dcm" for n in range(100)],
        ["anna.png", "berta.png", "carl.png"],
        ["one.png"],
        [],
    ],
)
def test_names_without_a_patient_are_left_alone(names: list[str]) -> None:
    assert propose_cases(names) is None


def test_a_named_patient_needs_one_pair_only() -> None:
    names = [f"case{n:04}_0.png" for n in range(40)] + ["case0007_1.png"]
    found = propose_cases(names)
    assert found is not None
    assert (found.patients, found.example) == (40, ("case0007_0.png", "case0007_1.png"))
