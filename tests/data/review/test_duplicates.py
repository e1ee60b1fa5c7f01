# SPDX-License-Identifier: Apache-2.0
"""Copies under any name are found; different patients that look alike, and slices of one volume, are not told."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from dsfedmed.data.datalist import load_datalist
from dsfedmed.data.review.duplicates import SiteImage, find_copies
from dsfedmed.data.review.findings import across_findings, site_findings
from dsfedmed.data.review.items import ReviewedItem, review_items
from tests.data.conftest import write_image

PARTS = ("training", "validation", "test")
Document = dict[str, list[dict[str, str]]]


def picture(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """(rows, columns) uint8: blobs of a few pixels, as tissue has."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), 3)
    return (np.clip(0.5 + noise / noise.std() / 6, 0, 1) * 255).astype(np.uint8)


def site(folder: Path, change: Callable[[Path, Document], None], count: int = 6) -> Path:
    """Different images a.0 to a.5, two a part, and a change to files or datalist."""
    document: Document = {part: [] for part in PARTS}
    for number in range(count):
        write_image(folder / f"images/{number}.png", picture(number))
        write_image(folder / f"labels/{number}.png", np.eye(96, 128, dtype=np.uint8))
        entry = {"image": f"images/{number}.png", "label": f"labels/{number}.png", "case": f"p{number}"}
        document[PARTS[number % 3]].append(entry)
    change(folder, document)
    (folder / "datalist.json").write_text(json.dumps({"labels": {"0": "background", "1": "lesion"}, **document}))
    return folder


def found(folder: Path) -> list[tuple[str, str, str]]:
    """Level, file and reason of each finding."""
    datalist = load_datalist(folder)
    return [(f.level, Path(f.where).name, f.reason) for f in site_findings(datalist, review_items(datalist))]


def nothing(folder: Path, document: Document) -> None:
    """Change nothing."""


def same_path(folder: Path, document: Document) -> None:
    document["test"][0] = {**document["training"][0], "case": "somebody else"}


def other_spelling(folder: Path, document: Document) -> None:
    document["test"][0] = {"image": "./images/0.png", "label": "./labels/0.png"}


def symbolic_link(folder: Path, document: Document) -> None:
    (folder / "images/2.png").unlink()
    (folder / "images/2.png").symlink_to("0.png")


def hard_link(folder: Path, document: Document) -> None:
    (folder / "images/2.png").unlink()
    os.link(folder / "images/0.png", folder / "images/2.png")


def copied(folder: Path, document: Document) -> None:
    shutil.copy(folder / "images/0.png", folder / "images/2.png")


def as_rgb_tiff(folder: Path, document: Document) -> None:
    write_image(folder / "images/two.tif", np.repeat(picture(0)[..., None], 3, axis=2))
    document["test"][0]["image"] = "images/two.tif"


def same_part(folder: Path, document: Document) -> None:
    shutil.copy(folder / "images/0.png", folder / "images/3.png")


def near(make: Callable[[Image.Image], Image.Image], suffix: str = "png", part: str = "test") -> object:
    def change(folder: Path, document: Document) -> None:
        changed = make(Image.fromarray(picture(0)))
        number = {"training": 3, "test": 2}[part]
        changed.save(folder / f"images/{number}n.{suffix}", **({"quality": 60} if suffix == "jpg" else {}))
        Image.fromarray(np.ones(changed.size[::-1], np.uint8)).save(folder / f"labels/{number}.png")
        document[part][-1 if part == "training" else 0]["image"] = f"images/{number}n.{suffix}"

    return change


def test_different_images_are_not_told(tmp_path: Path) -> None:
    assert found(site(tmp_path, nothing)) == []


@pytest.mark.parametrize(
    ("change", "level", "name", "reason"),
    [
        (same_path, "error", "0.png", "in training as case 'p0' and in test as case 'somebody else'"),
        (other_spelling, "error", "0.png", "in training as case 'p0' and in test as case './images/0.png'"),
        (symbolic_link, "error", "2.png", "one file stands twice and as"),
        (hard_link, "error", "2.png", "one file stands twice and as"),
        (copied, "error", "2.png", "0.png (training), byte by byte, and is in test"),
        (as_rgb_tiff, "error", "two.tif", "it has the same pixels as"),
        (same_part, "warning", "3.png", "0.png (training), byte by byte, and is in training"),
        (near(lambda image: image, "jpg"), "warning", "2n.jpg", "it looks the same as"),
        (near(lambda image: image.resize((90, 64))), "warning", "2n.png", "0.png (training) (correlation 0.9"),
        (near(lambda i: i.point(lambda v: v * 0.9 + 12)), "warning", "2n.png", "it looks the same as"),
        (near(lambda i: i, "jpg", "training"), "warning", "3n.jpg", "and is in training"),
    ],
)
def test_a_copy_is_told_once(
    tmp_path: Path, change: Callable[[Path, Document], None], level: str, name: str, reason: str
) -> None:
    ((told_level, told_name, told_reason),) = found(site(tmp_path, change))
    assert (told_level, told_name) == (level, name)
    assert reason in told_reason


def test_near_copies_of_one_patient_are_no_finding(tmp_path: Path) -> None:
    def change(folder: Path, document: Document) -> None:
        near(lambda image: image, "jpg", "training")(folder, document)  # type: ignore[operator]
        document["training"][1]["case"] = "p0"

    assert found(site(tmp_path, change)) == []


def test_blank_images_are_no_copies(tmp_path: Path) -> None:
    def change(folder: Path, document: Document) -> None:
        for number in range(6):
            write_image(folder / f"images/{number}.png", np.full((96, 128), 7, np.uint8))

    assert found(site(tmp_path, change)) == []


def test_many_copies_of_one_image_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(folder: Path, document: Document) -> None:
        for number in range(1, 6):
            shutil.copy(folder / "images/0.png", folder / f"images/{number}.png")

    monkeypatch.setattr("dsfedmed.data.review.findings.MOST_TOLD", 3)
    told = found(site(tmp_path, change))
    assert len(told) == 4
    assert told[-1][0] == "error", "one of those that are left out is one"
    assert told[-1][2] == "2 more images that stand twice are not listed"


def volumes(folder: Path, second: np.ndarray) -> list[tuple[str, str, str]]:
    """Two patients' volumes (rows, columns, slices) of which the first is fixed."""
    first = np.stack([picture(n, 40, 48) for n in (1, 1, 2, 3)], axis=2)
    for name, array in (("a", first), ("b", second)):
        write_image(folder / f"{name}.nii.gz", array)
        write_image(folder / f"{name}_label.nii.gz", np.ones(array.shape, np.uint8))
    document = {
        "labels": {"0": "background", "1": "lesion"},
        "training": [{"image": "a.nii.gz", "label": "a_label.nii.gz"}],
        "test": [{"image": "b.nii.gz", "label": "b_label.nii.gz"}],
    }
    (folder / "datalist.json").write_text(json.dumps(document))
    return found(folder)


def test_volumes_are_compared_as_a_whole(tmp_path: Path) -> None:
    others = np.stack([picture(n, 40, 48) for n in (4, 5, 6, 7)], axis=2)
    assert volumes(tmp_path, others) == [], "two equal slices of one volume are no copies"
    others[..., 0] = picture(3, 40, 48)
    assert volumes(tmp_path, others) == [], "one slice of four in common"
    others[..., 1:3] = np.stack([picture(n, 40, 48) for n in (2, 1)], axis=2)
    ((level, name, reason),) = volumes(tmp_path, others)
    assert (level, name) == ("error", "b.nii.gz")
    assert "same pixels" in reason


def test_sites_are_compared_with_each_other(tmp_path: Path) -> None:
    one = site(tmp_path / "one", nothing)
    two = site(tmp_path / "two", nothing)
    for number in range(6):
        write_image(two / f"images/{number}.png", picture(100 + number))
    shutil.copy(one / "images/0.png", two / "images/2.png")
    shutil.copy(one / "images/1.png", two / "images/1.png")
    read: dict[str, list[ReviewedItem]] = {str(f): review_items(load_datalist(f)) for f in (one, two)}
    told = [(f.level, f.where, f.reason) for f in across_findings(dict(read))]
    assert [(level, where) for level, where, _ in told] == [
        ("error", str(two / "images/2.png")),
        ("warning", str(two / "images/1.png")),
    ]
    assert f"{one / 'images/0.png'} (training)" in told[0][2]


def test_every_pair_of_files_is_told_once(tmp_path: Path) -> None:
    folder = site(tmp_path, copied)
    copies = find_copies([SiteImage("here", item) for item in review_items(load_datalist(folder))])
    assert [(copy.kind, copy.first.path.name, copy.second.path.name) for copy in copies] == [
        ("content", "0.png", "2.png")
    ]
