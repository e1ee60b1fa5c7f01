# SPDX-License-Identifier: Apache-2.0
"""`dsfedmed prepare-data` as a user types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsfedmed.cli.main import main
from dsfedmed.data.datasets.registry import RECIPES
from tests.data.datasets.layouts import prostate


def test_list_and_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare-data", "--list"]) == 0
    table = capsys.readouterr().out
    for recipe in RECIPES.values():
        assert f"\n{recipe.name} " in f"\n{table}"
        assert recipe.licence in table
    assert main(["prepare-data", "chaos"]) == 0
    assert "Differs from the paper" in capsys.readouterr().out


def test_make_check_and_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "prepare-data",
        "prostate",
        "--from",
        str(prostate(tmp_path / "download")),
        "--to",
        str(tmp_path / "sites"),
    ]
    assert main([*words, "--only", "HK", "UCL"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1:] == [[str(tmp_path / "sites" / name), "3", "1", "1", "0"] for name in ("HK", "UCL")]
    assert main(["check-site", str(tmp_path / "sites/HK")]) == 0
    assert main(words) == 2
    assert "HK: it is there already" in capsys.readouterr().err


def test_bad_files_are_lines_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    download = prostate(tmp_path / "download")
    for case in ("Case00", "Case01"):
        (download / f"HK/{case}_segmentation.nii.gz").unlink()
    words = ["prepare-data", "prostate", "--from", str(download), "--to", str(tmp_path / "sites"), "--only", "HK"]
    assert main(words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "HK: 5 images of the download"
    assert [line.startswith("bad file: ") for line in lines[1:]] == [True, True, False]
    assert "2 files are bad" in lines[3]
    assert main([*words, "--skip-bad"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[-1] == "2"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--list"),
        (["fundas"], "fundus"),
        (["prostate", "--from", "x"], "--to"),
        (["prostate", "--from", "x", "--to", "y", "--slices", "odd"], "labelled or all"),
        (["prostate", "--from", "/no/such/place", "--to", "y"], "no such file or folder"),
    ],
)
def test_wrong_words(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if "--to" in words:
        words = [*words[:4], str(tmp_path / "y"), *words[5:]]
    assert main(["prepare-data", *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "y").exists()
