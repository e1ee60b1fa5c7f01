# SPDX-License-Identifier: Apache-2.0
"""Prostate: clipping, merged zones, slices, folder names of both releases."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from dsfedmed.data import LoadSiteImaged
from dsfedmed.data.datasets import prostate
from dsfedmed.data.datasets.prostate import clip_volume
from tests.data.datasets.layouts import counts, made


@pytest.mark.parametrize(("kind", "limit"), [(np.int16, 99), (np.float32, 99.0), (np.float64, 99.0)])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_clipping_by_hand(kind: type, limit: float, suffix: str) -> None:
    values = np.arange(101, dtype=kind).reshape(101, 1, 1)  # the 99 % quantile of 0..100 is 99
    affine = np.diag([0.5, 0.25, 3.0, 1.0])
    content = nibabel.Nifti1Image(values, affine).to_bytes()
    clipped = clip_volume(gzip.compress(content) if suffix == ".nii.gz" else content, suffix)
    result = nibabel.Nifti1Image.from_bytes(gzip.decompress(clipped.content))
    assert clipped.suffix == ".nii.gz"
    assert np.asanyarray(result.dataobj).ravel().tolist() == [*range(100), limit]
    assert np.allclose(result.affine, affine)
    assert result.get_data_dtype() == (np.float32 if kind is np.float64 else kind)


def test_a_volume_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = nibabel.Nifti1Image(np.zeros((9, 9, 9), np.uint8), np.eye(4)).to_bytes()
    monkeypatch.setattr(prostate, "MAX_BYTES", len(content))
    clip_volume(gzip.compress(content), ".nii.gz")
    with pytest.raises(ValueError, match="unpacks to more than"):
        clip_volume(gzip.compress(content + b"0"), ".nii.gz")


def test_six_sites_of_volumes(downloads: dict[str, Path], tmp_path: Path) -> None:
    sites = made("prostate", downloads["prostate"], tmp_path)
    assert list(sites) == ["BIDMC", "BMC", "HK", "I2CVB", "RUNMC", "UCL"]
    for site in sites.values():
        # 5 cases: 3 + 1 + 1; two of four slices show the prostate, and a test takes all four.
        assert counts(site) == (6, 2, 4)
        assert (site.label_names, site.label_map, site.channels) == (("prostate",), {2: 1}, 1)
    item = sites["BMC"].parts["training"][0]
    loaded = LoadSiteImaged()(sites["BMC"].document(item))
    assert loaded["label"].sum() == 5 * 4  # both zones are prostate
    assert loaded["image"].mean() > 0.3  # the one voxel of 30000 does not darken the rest


def test_every_slice_on_request(downloads: dict[str, Path], tmp_path: Path) -> None:
    site = made("prostate", downloads["prostate"], tmp_path, only=("HK",), slices="all")["HK"]
    assert counts(site) == (12, 4, 4)


def test_label_files_are_taken_as_they_are(downloads: dict[str, Path], tmp_path: Path) -> None:
    site = made("prostate", downloads["prostate"], tmp_path, only=("UCL",))["UCL"]
    item = site.parts["test"][0]
    assert item.label is not None
    original = downloads["prostate"] / f"UCL/{item.case}_segmentation.nii.gz"
    assert item.label.read_bytes() == original.read_bytes()


def test_a_site_that_is_left_out_is_all_test(downloads: dict[str, Path], tmp_path: Path) -> None:
    sites = made("prostate", downloads["prostate"], tmp_path, only=("HK", "UCL"), unseen=("UCL",))
    assert counts(sites["UCL"]) == (0, 0, 20)
    assert counts(sites["HK"]) == (6, 2, 4)
