# SPDX-License-Identifier: Apache-2.0
"""`dsfedmed predict` as a user types it."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dsfedmed.cli.main import main
from tests.prediction.conftest import BUNDLE, GREY, picture, release


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    release(folder / "release", GREY)
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("north/a.png", "south/a.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        Image.fromarray(picture(12, 16)).save(tmp_path / "in" / name)
    return tmp_path / "in"


def test_masks_and_table_and_what_is_said(
    run_folder: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "masks"
    assert main(["predict", str(run_folder), str(images), "--out", str(out), "--device", "cpu", "--overlays"]) == 0
    said = capsys.readouterr()
    assert said.out == (
        f"2 of 2 images done, in {out}:\n  2 masks: 0 background, 1 lesion\n  2 overlays: lesion orange\n"
        "  areas.csv; in 0 of the images nothing was found\n"
    )
    assert said.err == ""
    with (out / "areas.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file"] for row in rows] == ["north/a.png", "south/a.png"]
    for row in rows:
        mask = np.asarray(Image.open(out / row["file"].replace("a.png", "a_mask.png")))
        assert mask.shape == (12, 16)
        assert int(row["pixels"]) == mask.sum() > 0


def test_again_is_allowed_and_gives_the_same(run_folder: Path, images: Path, tmp_path: Path) -> None:
    words = ["predict", str(run_folder / "release"), str(images), "--out", str(tmp_path / "masks"), "--device", "cpu"]
    assert main(words) == 0
    first = {path: path.read_bytes() for path in (tmp_path / "masks").rglob("*.*")}
    assert main([*words, "--threads", str(torch.get_num_threads()), "--batch-size", "2"]) == 0
    assert {path: path.read_bytes() for path in (tmp_path / "masks").rglob("*.*")} == first


def test_one_bad_file_ends_with_status_2_and_a_line(
    run_folder: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "bad.png").write_bytes(b"")
    (images / "notes.txt").write_text("no image")
    assert main(["predict", str(run_folder), str(images), "--out", str(tmp_path / "m"), "--device", "cpu"]) == 2
    said = capsys.readouterr()
    assert said.out.startswith(f"2 of 3 images done, in {tmp_path / 'm'}:\n")
    assert "1 not done, listed in not_done.txt:" in said.out
    assert said.err.splitlines() == [
        f"{images}: 1 files are no images and are left out",
        f"not done: {images / 'bad.png'}: it cannot be read (the file is empty, 0 bytes). "
        "Copy it again or take its item out.",
    ]


def test_a_single_file_that_is_no_image_leaves_nothing_behind(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    words = [str(run_folder), str(tmp_path / "notes.txt"), "--out", str(tmp_path / "masks"), "--device", "cpu"]
    assert main(["predict", *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"dsfedmed: {tmp_path / 'notes.txt'}: unknown image format '.txt'. Convert it")
    assert not (tmp_path / "masks").exists()


def test_of_very_many_bad_files_the_first_are_said(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(25):
        (tmp_path / "in" / f"{number}.png").write_bytes(b"")
    assert (
        main(["predict", str(run_folder), str(tmp_path / "in"), "--out", str(tmp_path / "m"), "--device", "cpu"]) == 2
    )
    said = capsys.readouterr()
    assert "25 not done, listed in not_done.txt; the first 20:" in said.out
    assert said.err.count("not done: ") == 20
    assert len((tmp_path / "m" / "not_done.txt").read_text().splitlines()) == 25


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        ("none", [], "there is no such folder"),
        ("in", [], "it is no run and no release"),
        ("unfinished", [], "the run has no release yet"),
        ("bundle", [], "the bundle has no weights"),
        ("run", ["--device", "cuda:99"], "device cuda:99"),
        ("run", ["--batch-size", "0"], "--batch-size: 0 is not a usable number"),
        ("run", ["--threads", "-1"], "--threads: -1 is not a usable number"),
        ("run", ["--local", "none"], "dsfedmed.yaml"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    model: str, options: list[str], reason: str, run_folder: Path, images: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "record.json").write_text("{}")
    folder = {"run": run_folder, "bundle": BUNDLE}.get(model, tmp_path / model)
    words = ["predict", str(folder), str(images), "--out", str(tmp_path / "m"), "--device", "cpu", *options]
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("dsfedmed: ")
    assert reason in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "m").exists()


def test_a_folder_with_other_things_is_left_alone(
    run_folder: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(images, tmp_path / "m")
    assert main(["predict", str(run_folder), str(images), "--out", str(tmp_path / "m"), "--device", "cpu"]) == 2
    assert "it holds other things. Choose another --out" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "m").rglob("*.*")) == ["a.png", "a.png"]
