# SPDX-License-Identifier: Apache-2.0
"""The site check lists every problem with its file and its fix."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dsfedmed.data.checks import Finding, check_site, inspect_site
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
        ("datalist.json", "case 'validation0' i"),
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


def test_what_a_reader_did_is_said_once_for_many_files(make_site: MakeSite) -> None:
    from PIL import Image

    folder = make_site()
    exif = Image.Exif()
    exif[0x0112] = 3
    for path in sorted((folder / "images").glob("*.png")):
        Image.open(path).save(path, exif=exif)
    found = inspect_site(folder).findings
    assert [(finding.level, finding.reason) for finding in found] == [
        ("note", "turned upright by its EXIF orientation 3 (7 files, this is the first)")
    ]


def test_extra_channels_have_to_be_declared(make_site: MakeSite) -> None:
    folder = make_site()
    rng = np.random.default_rng(0)
    document = json.loads((folder / "datalist.json").read_text())
    for part in ("training", "validation", "test"):
        for item in document[part]:
            name = item["image"].replace(".png", ".npy")
            np.save(folder / name, rng.integers(0, 256, (12, 16, 4), dtype=np.uint8))
            (folder / item["image"]).unlink()
            item["image"] = name
    (folder / "datalist.json").write_text(json.dumps(document))
    errors = [finding for finding in check_site(folder) if finding.level == "error"]
    assert len(errors) == 7
    assert errors[0].reason == "it has 4 channels, and the datalist declares none"
    assert '"channels": 4' in errors[0].fix
    (folder / "datalist.json").write_text(json.dumps({**document, "channels": 4}))
    assert check_site(folder) == []


def test_shapes_sizes_units_and_unlisted_files_are_said(make_site: MakeSite) -> None:
    folder = make_site(training=4)
    write_image(folder / "images/training0.png", np.random.default_rng(0).integers(0, 9, (8, 90), dtype=np.uint8))
    write_image(folder / "labels/training0.png", np.ones((8, 90), np.uint8))
    document = json.loads((folder / "datalist.json").read_text())
    np.save(folder / "images/ct.npy", np.linspace(-1000, 900, 192).reshape(12, 16).astype(np.float32))
    document["training"][1]["image"] = "images/ct.npy"
    (folder / "datalist.json").write_text(json.dumps(document))
    reasons = {(finding.level, finding.reason.split(",")[0]) for finding in check_site(folder)}
    assert reasons == {
        ("warning", "its sides are more than 1 to 3 and are squeezed to a square for training"),
        ("warning", "it looks like CT in Hounsfield units"),
        ("note", "1 image files in the folder are in no part of the datalist (this is the first)"),
    }


def test_a_damaged_volume_with_a_flat_label_is_a_finding(make_volume: Callable[..., Path]) -> None:
    folder = make_volume()
    write_image(folder / "test_label.nii.gz", np.ones((5, 7), np.uint8))
    (folder / "test.nii.gz").write_bytes((folder / "test.nii.gz").read_bytes()[:-40])
    errors = [finding for finding in check_site(folder) if finding.level == "error"]
    assert [Path(finding.where).name for finding in errors] == ["test.nii.gz"]


def test_volumes_taken_as_channels_are_a_warning_until_they_are_declared(make_volume: Callable[..., Path]) -> None:
    for declared, told in (({}, 1), ({"channels": 3}, 0)):
        folder = make_volume(**declared)
        for part in ("training", "test"):
            write_image(folder / f"{part}.nii.gz", np.arange(5 * 7 * 4 * 3, dtype=np.int16).reshape(5, 7, 4, 3))
        found = [finding for finding in check_site(folder) if "taken as channels" in finding.reason]
        assert [finding.level for finding in found] == ["warning"] * told


def test_a_window_beside_all_values_is_told_and_one_that_cuts_is_not(make_site: MakeSite) -> None:
    told = [finding for finding in check_site(make_site(window=[300, 400])) if "outside the window" in finding.reason]
    assert len(told) == 1
    assert told[0].reason.startswith("all its values lie outside the window 300 to 400")
    assert "(7 files, this is the first)" in told[0].reason
    assert check_site(make_site("other", window=[100, 400])) == []


def test_a_label_of_two_images_and_an_image_as_its_own_label(make_site: MakeSite) -> None:
    folder = make_site()
    document = json.loads((folder / "datalist.json").read_text())
    document["training"][1]["label"] = document["training"][0]["label"]
    document["test"][0]["label"] = document["test"][0]["image"]
    (folder / "datalist.json").write_text(json.dumps(document))
    found = {(finding.level, finding.reason) for finding in check_site(folder)}
    assert ("warning", "it is the label of 2 images (training0.png and training1.png)") in found
    assert ("error", "it is listed as image and as its own label") in found


def test_a_finding_is_printable_whatever_a_file_is_called() -> None:
    found = Finding("error", "images/\x1b[2J.png", "it looks the same as a\nb.png", "Rename it.")
    assert (found.where, found.reason) == ("images/?[2J.png", "it looks the same as a b.png")
