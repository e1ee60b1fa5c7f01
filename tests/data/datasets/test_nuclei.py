# SPDX-License-Identifier: Apache-2.0
"""Nuclei: outlines, tiles, patients across parts and across sites."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsfedmed.data.datalist import Item
from dsfedmed.errors import DataError
from tests.data.datasets.layouts import block, counts, made


def label_of(item: Item) -> np.ndarray:
    assert item.label is not None
    return np.asarray(Image.open(item.label))


def test_three_sites(downloads: dict[str, Path], tmp_path: Path) -> None:
    sites = made("nuclei", downloads["nuclei"], tmp_path, tile_px=64)
    assert list(sites) == ["monuseg", "monusac", "tnbc"]
    # 100 x 100 px become 2 x 2 tiles; four patients share training and validation beside the official test.
    assert sum(counts(sites["monuseg"])) == 20
    assert counts(sites["monuseg"])[2] == 4
    # The patient who stands in MoNuSeg is left out; four others with two pictures each, one official test picture.
    assert sum(counts(sites["monusac"])) == 9
    assert [item.case for item in sites["monusac"].parts["test"]] == ["TCGA-A2-1111"]
    assert not {item.case for part in sites["monusac"].parts.values() for item in part} & {"TCGA-18-0000"}
    provenance = json.loads((tmp_path / "monusac/provenance.json").read_text())
    assert provenance["notes"] == ["TCGA-18-0000 is left out: the patient is in monuseg"]
    assert sum(counts(sites["tnbc"])) == 8  # slide 12 is no breast
    assert min(counts(sites["tnbc"])) == 2  # both pictures of a patient


def test_masks_are_the_filled_outlines(downloads: dict[str, Path], tmp_path: Path) -> None:
    sites = made("nuclei", downloads["nuclei"], tmp_path, tile_px=64)
    tile = next(item for item in sites["monuseg"].parts["test"] if item.image.stem.endswith("tile00"))
    assert label_of(tile).tolist() == block(1, 50, 50).tolist()
    image = Image.open(downloads["nuclei"] / "MoNuSegTestData/TCGA-2Z-A9J9-01A-01-TS1.tif")
    assert np.array_equal(np.asarray(Image.open(tile.image)), np.asarray(image)[:50, :50])
    small = sites["monusac"].parts["training"][0]
    assert small.image.suffix == ".tif"  # no tile, so the file as it is
    assert label_of(small).tolist() == block(1).tolist()  # without the ambiguous region
    assert sites["monusac"].parts["test"][0].image.suffix == ".png"  # SVS is no format of a site
    assert label_of(sites["tnbc"].parts["test"][0]).tolist() == block(1).tolist()


def test_no_tiles_on_request(downloads: dict[str, Path], tmp_path: Path) -> None:
    site = made("nuclei", downloads["nuclei"], tmp_path, tile_px=0, only=("monuseg",))["monuseg"]
    assert sum(counts(site)) == 5
    assert all(item.image.suffix == ".tif" for part in site.parts.values() for item in part)


def test_a_shared_patient_stays_when_only_one_site_is_made(downloads: dict[str, Path], tmp_path: Path) -> None:
    site = made("nuclei", downloads["nuclei"], tmp_path, only=("monusac",))["monusac"]
    assert sum(counts(site)) == 11


def test_a_missing_collection_is_named(downloads: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(downloads["nuclei"] / "TNBC", tmp_path / "download/TNBC")
    with pytest.raises(DataError, match=r"MoNuSeg 2018 Training Data.*not found; it holds TNBC/.*monuseg\.grand"):
        made("nuclei", tmp_path / "download", tmp_path / "out")
    assert sum(counts(made("nuclei", tmp_path / "download", tmp_path / "out", only=("tnbc",))["tnbc"])) == 8


def test_an_annotation_with_entities_is_a_bad_file(downloads: dict[str, Path], tmp_path: Path) -> None:
    download = tmp_path / "download"
    shutil.copytree(downloads["nuclei"], download)
    victim = next((download / "MoNuSeg 2018 Training Data/Annotations").glob("*.xml"))
    victim.write_text('<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><Annotations>&e;</Annotations>')
    with pytest.raises(DataError, match="1 files are bad"):
        made("nuclei", download, tmp_path / "out", only=("monuseg",))
    assert not (tmp_path / "out/monuseg").exists()
    site = made("nuclei", download, tmp_path / "out", only=("monuseg",), skip_bad=True, tile_px=0)["monuseg"]
    assert sum(counts(site)) == 4
