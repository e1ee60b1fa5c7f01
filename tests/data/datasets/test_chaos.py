# SPDX-License-Identifier: Apache-2.0
"""CHAOS: pairing of slices, organs, slices without liver."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from dsfedmed.data import LoadSiteImaged
from dsfedmed.data.datasets.chaos import liver_of, pair_slices
from dsfedmed.data.datasets.source import Member
from dsfedmed.errors import DataError
from tests.data.datasets.layouts import block, counts, made


def members(*names: str) -> dict[str, Member]:
    return {name: Member(name, 1, Path(name)) for name in names}


def test_only_the_liver_of_four_organs() -> None:
    grey = np.array([0, 54, 55, 63, 70, 71, 126, 189, 252], np.uint8)
    assert liver_of(grey).tolist() == [0, 0, 1, 1, 1, 0, 0, 0, 0]


def test_slices_are_paired_by_name_or_in_order() -> None:
    by_name = pair_slices(members("a", "b"), dict(reversed(members("a", "b").items())))
    assert [(name, mask and mask.path) for name, _, mask in by_name] == [("a", "a"), ("b", "b")]
    in_order = pair_slices(members("i0", "i1"), members("liver_0", "liver_1"))
    assert [(name, mask and mask.path) for name, _, mask in in_order] == [("i0", "liver_0"), ("i1", "liver_1")]
    assert [mask for _, _, mask in pair_slices(members("i0", "i1"), members("liver_0"))] == [None, None]


def test_two_sites_by_modality(downloads: dict[str, Path], tmp_path: Path) -> None:
    sites = made("chaos", downloads["chaos"], tmp_path)
    # CT: 3 + 1 + 1 patients of 3 slices; the one without liver stays in the test alone. MR: 2 slices, three series.
    assert counts(sites["CT"]) == (6, 2, 3)
    assert counts(sites["MR"]) == (9, 3, 6)
    for site in sites.values():
        assert site.channels == 1
        item = site.parts["training"][0]
        loaded = LoadSiteImaged()(site.document(item))
        assert loaded["image"].shape == (1, 16, 12)
        assert np.array_equal(loaded["label"][0].numpy().T, block(1))
    item = sites["CT"].parts["training"][0]
    assert item.image.suffix == ".dcm"
    number, name = item.image.stem.split("_ct_")
    original = downloads["chaos"] / f"Train_Sets/CT/{number}/DICOM_anon/{name.replace('_', ',')}.dcm"
    assert item.image.read_bytes() == original.read_bytes()


def test_out_of_phase_slices_share_the_mask_in_order(downloads: dict[str, Path], tmp_path: Path) -> None:
    site = made("chaos", downloads["chaos"], tmp_path, only=("MR",), slices="all")["MR"]
    assert counts(site) == (18, 6, 6)
    seen = {}
    for items in site.parts.values():
        for item in items:
            assert item.label is not None
            seen[item.image.stem] = bool(LoadSiteImaged()(site.document(item))["label"].any())
    assert [seen[f"41_t1out_IMG-0004-0000{n}"] for n in (1, 3)] == [False, True]
    assert [seen[f"41_t1in_IMG-0004-0000{n}"] for n in (2, 4)] == [False, True]


def test_a_series_that_does_not_fit_is_reported_slice_by_slice(downloads: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(downloads["chaos"], tmp_path / "download")
    (tmp_path / "download/Train_Sets/CT/1/Ground/liver_GT_001.png").unlink()
    with pytest.raises(DataError, match="3 files are bad"):
        made("chaos", tmp_path / "download", tmp_path / "out")
    sites = made("chaos", tmp_path / "download", tmp_path / "out", skip_bad=True)
    assert "CT-1" not in {item.case for part in sites["CT"].parts.values() for item in part}
