# SPDX-License-Identifier: Apache-2.0
"""Writing sites: nothing half-made, nothing overwritten, bad files named, everything traced."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dsfedmed.data.datasets.build import make_sites
from dsfedmed.data.datasets.plan import RecipeOptions
from dsfedmed.data.datasets.registry import RECIPES
from dsfedmed.errors import DataError, StoreError
from tests.data.conftest import write_image
from tests.data.datasets.layouts import block, counts, made, zipped


def content(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", ["fundus", "prostate", "nuclei", "isic", "chaos"])
def test_the_same_download_makes_the_same_sites_and_an_archive_as_well(
    name: str, downloads: dict[str, Path], tmp_path: Path
) -> None:
    made(name, downloads[name], tmp_path / "one")
    made(name, downloads[name], tmp_path / "two")
    assert content(tmp_path / "one") == content(tmp_path / "two")
    made(name, zipped(downloads[name], tmp_path / f"{name}.zip"), tmp_path / "packed")
    assert content(tmp_path / "packed") == content(tmp_path / "one")


def test_a_second_run_refuses_to_overwrite(downloads: dict[str, Path], tmp_path: Path) -> None:
    made("prostate", downloads["prostate"], tmp_path, only=("HK",))
    before = content(tmp_path)
    with pytest.raises(DataError, match="there already") as caught:
        made("prostate", downloads["prostate"], tmp_path)
    assert caught.value.where == str(tmp_path / "HK")
    assert content(tmp_path) == before
    made("prostate", downloads["prostate"], tmp_path, only=("UCL",))  # beside it is fine
    assert sorted(path.name for path in tmp_path.iterdir()) == ["HK", "UCL"]


def test_what_an_interrupted_run_left_is_cleared_away(downloads: dict[str, Path], tmp_path: Path) -> None:
    left = tmp_path / ".prostate.part/HK/images/old.nii.gz"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    made("prostate", downloads["prostate"], tmp_path, only=("HK",))
    assert not (tmp_path / "HK/images/old.nii.gz").exists()


def test_the_provenance_traces_every_file(downloads: dict[str, Path], tmp_path: Path) -> None:
    made("prostate", downloads["prostate"], tmp_path, only=("HK",), seed=3)
    found = json.loads((tmp_path / "HK/provenance.json").read_text())
    file = downloads["prostate"] / "HK/Case00.nii.gz"
    assert found["source_files"] == len(found["sha256"]) == 10
    assert found["sha256"]["prostate/HK/Case00.nii.gz"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (found["recipe"], found["site"], found["options"]["seed"]) == ("prostate", "HK", 3)
    assert "liuquande" in found["homepage"]
    assert found["left_out"] == []
    assert str(tmp_path) not in json.dumps(found)


def damaged(downloads: dict[str, Path], tmp_path: Path) -> Path:
    """Damage four of drishti_gs's twelve pairs, each in another way."""
    root = tmp_path / "fundus"
    shutil.copytree(downloads["fundus"], root)
    base = root / "Domain1/train/ROIs"
    picture = base / "image/gdrishtiGS_000.png"
    picture.write_bytes(picture.read_bytes()[:60])
    (base / "mask/gdrishtiGS_001.png").unlink()
    (base / "mask/gdrishtiGS_002.png").write_bytes(b"junk")
    write_image(base / "mask/gdrishtiGS_003.png", block(0, 10, 16))
    return root


def test_bad_files_are_reported_one_by_one_and_stop_the_run(downloads: dict[str, Path], tmp_path: Path) -> None:
    errors: list[DataError] = []
    root, options = damaged(downloads, tmp_path), RecipeOptions(only=("drishti_gs",))
    with pytest.raises(DataError, match=r"4 files are bad.*--skip-bad"):
        make_sites(RECIPES["fundus"], root, tmp_path / "out", options, errors.append)
    base = root / "Domain1/train/ROIs"
    assert [(error.where, error.reason.split(" (")[0]) for error in errors] == [
        (str(base / "image/gdrishtiGS_000.png"), "it cannot be read"),
        (str(base / "image/gdrishtiGS_001.png"), "its label Domain1/train/ROIs/mask/gdrishtiGS_001.png is missing"),
        (str(base / "mask/gdrishtiGS_002.png"), "it cannot be decoded"),
        (str(base / "image/gdrishtiGS_003.png"), "the image is"),
    ]
    assert list((tmp_path / "out").iterdir()) == []


def test_bad_files_are_left_out_on_request(downloads: dict[str, Path], tmp_path: Path) -> None:
    root = damaged(downloads, tmp_path)
    site = made("fundus", root, tmp_path / "out", only=("drishti_gs",), skip_bad=True)["drishti_gs"]
    assert sum(counts(site)) == 8
    assert len(list((tmp_path / "out/drishti_gs/images").iterdir())) == 8
    assert len(list((tmp_path / "out/drishti_gs/labels").iterdir())) == 8
    left_out = json.loads((tmp_path / "out/drishti_gs/provenance.json").read_text())["left_out"]
    assert [Path(entry["file"]).stem[-3:] for entry in left_out] == ["000", "001", "002", "003"]
    # The others stand where they would stand with nothing damaged.
    whole = made("fundus", downloads["fundus"], tmp_path / "whole", only=("drishti_gs",))["drishti_gs"]
    for part, items in site.parts.items():
        assert {item.case for item in items} <= {item.case for item in whole.parts[part]}


def test_no_site_is_made_of_bad_files_alone(downloads: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(downloads["prostate"] / "HK", tmp_path / "download/HK")
    for label in (tmp_path / "download/HK").glob("*_segmentation.nii.gz"):
        label.unlink()
    with pytest.raises(DataError, match="site HK would be empty"):
        made("prostate", tmp_path / "download", tmp_path / "out", only=("HK",), skip_bad=True)
    assert not (tmp_path / "out/HK").exists()


def test_a_damaged_archive_member_is_reported(downloads: dict[str, Path], tmp_path: Path) -> None:
    archive = zipped(downloads["prostate"], tmp_path / "prostate.zip")
    victim = (downloads["prostate"] / "HK/Case02_segmentation.nii.gz").read_bytes()
    packed = archive.read_bytes()
    place = packed.index(b"HK/Case02_segmentation.nii.gz") + len(b"HK/Case02_segmentation.nii.gz") + 8
    archive.write_bytes(packed[:place] + bytes(byte ^ 0xFF for byte in packed[place : place + 9]) + packed[place + 9 :])
    assert len(victim) > 20
    errors: list[DataError] = []
    options = RecipeOptions(only=("HK",), skip_bad=True)
    (site,) = make_sites(RECIPES["prostate"], archive, tmp_path / "out", options, errors.append)
    assert [Path(error.where).name for error in errors] == ["Case02_segmentation.nii.gz"]
    assert site.left_out == 1


def test_undeclared_label_values_are_bad(downloads: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(downloads["isic"], tmp_path / "isic")
    mask = tmp_path / "isic/ISIC-2017_Test_v2_Part1_GroundTruth/ISIC_0000017_segmentation.png"
    assert mask.is_file()
    write_image(mask, np.full((48, 64), 9, np.uint8))
    errors: list[DataError] = []
    with pytest.raises(DataError, match="1 files are bad"):
        make_sites(
            RECIPES["isic"], tmp_path / "isic", tmp_path / "out", RecipeOptions(only=("heldout",)), errors.append
        )
    assert "label values 9 are not declared" in errors[0].reason
    assert errors[0].where == str(mask)


def test_links_save_the_space_of_unchanged_files(downloads: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(downloads["isic"], tmp_path / "isic")
    made("isic", tmp_path / "isic", tmp_path / "linked", only=("heldout",), link=True)
    linked = tmp_path / "linked/heldout/images/ISIC_0000017.jpg"
    assert linked.samefile(tmp_path / "isic/ISIC-2017_Test_v2_Data/ISIC_0000017.jpg")
    made("isic", tmp_path / "isic", tmp_path / "copied", only=("heldout",))
    assert content(tmp_path / "linked") == content(tmp_path / "copied")


def test_an_unwritable_place_is_an_error_and_leaves_nothing(downloads: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file, no folder")
    with pytest.raises(StoreError, match="cannot be written"):
        made("prostate", downloads["prostate"], tmp_path / "out", only=("HK",))
    assert (tmp_path / "out").read_text() == "a file, no folder"
