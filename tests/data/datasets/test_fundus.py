# SPDX-License-Identifier: Apache-2.0
"""Fundus: grey rule, nested and binary classes, official test, both eyes of a patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsfedmed.data.datasets.fundus import label_of
from dsfedmed.errors import DataError
from tests.data.datasets.layouts import counts, made


def test_the_authors_grey_rule_by_hand() -> None:
    grey = np.array([[255, 200, 199], [128, 1, 0]], np.uint8)
    assert label_of(grey, ("disc", "cup")).tolist() == [[0, 0, 1], [1, 1, 2]]
    assert label_of(grey, ("disc",)).tolist() == [[0, 0, 1], [1, 1, 1]]
    assert label_of(grey, ("cup",)).tolist() == [[0, 0, 0], [0, 0, 1]]


def test_four_nested_sites(downloads: dict[str, Path], tmp_path: Path) -> None:
    sites = made("fundus", downloads["fundus"], tmp_path)
    assert list(sites) == ["drishti_gs", "rim_one_r3", "refuge_zeiss", "refuge_canon"]
    for name in ("drishti_gs", "refuge_zeiss", "refuge_canon"):
        assert counts(sites[name]) == (9, 1, 2)  # of 10 in train and 2 in test
    site = sites["refuge_zeiss"]
    assert (site.label_names, site.nested, site.channels) == (("disc", "cup"), True, 3)
    item = site.parts["test"][0]
    assert item.label is not None
    assert np.asarray(Image.open(item.label))[[0, 3, 5], [0, 3, 6]].tolist() == [0, 1, 2]
    original = downloads["fundus"] / f"Domain3/test/ROIs/image/{item.case}.png"
    assert item.image.read_bytes() == original.read_bytes()


def test_both_eyes_of_a_patient_stay_together(downloads: dict[str, Path], tmp_path: Path) -> None:
    site = made("fundus", downloads["fundus"], tmp_path, only=("rim_one_r3",))["rim_one_r3"]
    assert counts(site) == (6, 2, 2)  # 5 patients: one by the official test, one of the other four to validation
    assert {item.case for item in site.parts["test"]} == {"G-1"}
    assert sorted(item.image.name for item in site.parts["test"]) == ["test_G-1-R.png", "train_G-1-L.png"]


@pytest.mark.parametrize(("name", "foreground"), [("fundus-disc", 80), ("fundus-cup", 12)])
def test_the_two_binary_tasks(name: str, foreground: int, downloads: dict[str, Path], tmp_path: Path) -> None:
    site = made(name, downloads["fundus"], tmp_path, only=("drishti_gs",))["drishti_gs"]
    label = site.parts["training"][0].label
    assert label is not None
    assert int(np.asarray(Image.open(label)).sum()) == foreground
    assert site.num_classes == 1


def test_another_layout_is_named(downloads: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"Domain1/train/ROIs/image.*not found; it holds .*BIDMC.*github\.com"
    ) as caught:
        made("fundus", downloads["prostate"], tmp_path)
    assert caught.value.where == str(downloads["prostate"])
