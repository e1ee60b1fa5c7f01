# SPDX-License-Identifier: Apache-2.0
"""Which images a path means, what they are called, and names that would collide."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from dsfedmed.errors import DataError
from dsfedmed.prediction.sources import Source, find_sources
from tests.data.conftest import MakeSite, write_image
from tests.data.files.making import series

GREY = np.zeros((4, 5), np.uint8)


def named(path: Path, out: Path) -> list[tuple[str, str]]:
    return [(source.shown, str(source.name)) for source in find_sources(path, out).images]


def test_sub_folders_are_taken_with_their_names(tmp_path: Path) -> None:
    for name in ("b/x.png", "a/x.png", "x.nii.gz", "IM.0001.dcm", "a/.hidden.png"):
        write_image(tmp_path / name, GREY)
    (tmp_path / "a" / "readme.txt").write_text("no image")
    found = find_sources(tmp_path, tmp_path / "out")
    assert named(tmp_path, tmp_path / "out") == [
        ("IM.0001.dcm", "IM.0001"), ("x.nii.gz", "x"), ("a/x.png", "a/x"), ("b/x.png", "b/x"),
    ]  # fmt: skip
    assert found.left_out == 1


def test_results_within_the_folder_are_no_images(tmp_path: Path) -> None:
    write_image(tmp_path / "x.png", GREY)
    write_image(tmp_path / "out" / "x_mask.png", GREY)
    assert named(tmp_path, tmp_path / "out") == [("x.png", "x")]


def test_the_folder_of_the_images_is_none_for_results(tmp_path: Path) -> None:
    write_image(tmp_path / "new" / "x.png", GREY)
    with pytest.raises(DataError, match=r"^--out .*new/\.\./new: it is the folder of the images\. Name another folder"):
        find_sources(tmp_path / "new", tmp_path / "new" / ".." / "new")
    assert named(tmp_path / "new", tmp_path / "new" / "masks") == [("x.png", "x")]


def test_one_file_and_one_series(tmp_path: Path) -> None:
    write_image(tmp_path / "x.png", GREY)
    series(tmp_path / "scan", np.zeros((3, 4, 5), np.uint8))
    assert named(tmp_path / "x.png", tmp_path / "out") == [("x.png", "x")]
    assert named(tmp_path / "scan", tmp_path / "out") == [("scan", "scan")]
    assert named(tmp_path, tmp_path / "out") == [("x.png", "x"), ("scan", "scan")]


def test_results_that_would_overwrite_each_other_are_refused_singly(tmp_path: Path) -> None:
    for name in ("x.bmp", "x.png", "y.png"):
        write_image(tmp_path / name, GREY)
    first, second, third = find_sources(tmp_path, tmp_path / "out").images
    first.require_own_name()
    third.require_own_name()
    with pytest.raises(DataError, match=r"x\.png: its results would have the name of those of x\.bmp"):
        second.require_own_name()


def test_a_site_s_volume_is_one_image_with_its_window(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site(
        channels=2, training=0, validation=0, test=0, window=[0, 100],
    )  # fmt: skip
    for name in ("t1.nii.gz", "t2.nii.gz"):
        write_image(site / name, np.zeros((4, 5, 3), np.int16))
    text = (site / "datalist.json").read_text()
    (site / "datalist.json").write_text(text.replace('"test": []', '"test": [{"image": ["t1.nii.gz", "t2.nii.gz"]}]'))
    (found,) = find_sources(site, tmp_path / "out").images
    assert found.files == (site / "t1.nii.gz", site / "t2.nii.gz")
    assert found.options == {"window": [0, 100]}
    assert found.name == PurePosixPath("t1")


def test_nothing_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file or folder"):
        find_sources(tmp_path / "none", tmp_path / "out")
    with pytest.raises(DataError, match="there is no image in it"):
        find_sources(tmp_path, tmp_path / "out")


def test_a_name_without_a_known_suffix_stays_whole(tmp_path: Path) -> None:
    assert Source.of(tmp_path / "IM.0001").name == PurePosixPath("IM.0001")


@pytest.mark.parametrize("name", ["a\x1b[2J.png", "a\nb.png", "a\udcff.png", "a\u202e.png"])
def test_what_tables_call_an_image_can_be_shown_and_written(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    source = Source.of(tmp_path / name, tmp_path)
    assert source.shown.isprintable()
    assert source.shown.encode()
    assert source.files == (tmp_path / name,)
