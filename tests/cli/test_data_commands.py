# SPDX-License-Identifier: Apache-2.0
"""The data commands as a user types them."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType

import pytest

from dsfedmed.cli import build_datalist, check_site, demo_sites, subset_sites
from dsfedmed.errors import ConfigError

SMALL = ["--sites", "north", "--training", "3", "--validation", "1", "--test", "1", "--size", "40", "32"]


def run(command: ModuleType, *words: str) -> int:
    parser = argparse.ArgumentParser(prog=command.NAME)
    command.configure(parser)
    return int(command.run(parser.parse_args(words)))


@pytest.mark.parametrize("command", [demo_sites, subset_sites, check_site, build_datalist])
def test_help_shows_examples(command: ModuleType) -> None:
    assert command.__doc__ is not None
    assert f"dsfedmed {command.NAME}" in command.__doc__
    parser = argparse.ArgumentParser(description=command.__doc__)
    command.configure(parser)
    assert parser.format_help()


def test_demo_sites_pass_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    public = ["--public-shapes", str(tmp_path / "public"), "--public-count", "6"]
    assert run(demo_sites, str(tmp_path / "sites"), *SMALL, *public) == 0
    assert str(tmp_path / "sites/north") in capsys.readouterr().out.splitlines()
    assert (tmp_path / "public/stars/datalist.json").is_file()
    assert run(check_site, str(tmp_path / "sites/north")) == 0
    table = capsys.readouterr().out
    assert "labels: 0 background, 1 lesion" in table
    assert "0 errors, 0 warnings" in table
    assert ["training", "3", "3", "0", "0", "1"] in [line.split() for line in table.splitlines()]


def test_shapes_alone_and_nothing_at_all(tmp_path: Path) -> None:
    assert run(demo_sites, "--public-shapes", str(tmp_path / "public"), "--public-count", "6") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["public"]
    with pytest.raises(ConfigError, match="no folder is given"):
        run(demo_sites)


def test_sites_with_fewer_labels_pass_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(demo_sites, str(tmp_path / "sites"), *SMALL)
    assert run(subset_sites, str(tmp_path / "sites"), str(tmp_path / "few"), "--training", "2") == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "few/north")
    assert run(check_site, str(tmp_path / "few/north")) == 0
    assert ["training", "2", "2"] in [line.split()[:3] for line in capsys.readouterr().out.splitlines()]


def test_a_bad_site_fails_with_the_file_and_the_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(demo_sites, str(tmp_path), *SMALL)
    image = tmp_path / "north/images/training_0001.png"
    image.write_bytes(b"junk")
    (tmp_path / "north/labels/test_0000.png").unlink()
    capsys.readouterr()
    assert run(check_site, str(tmp_path / "north")) == 1
    table = capsys.readouterr().out
    assert str(image) in table
    assert "test_0000.png" in table
    assert "2 errors" in table


def test_build_datalist_from_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(demo_sites, str(tmp_path), *SMALL)
    folder = str(tmp_path / "north")
    words = ["--force", "--case-regex", "^([a-z]+_[0-9]+)", "--split", "0.5/0.25/0.25", "--label-names", "lesion"]
    assert run(build_datalist, folder, *words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "north/datalist.json")
    assert run(check_site, folder) == 0


@pytest.mark.parametrize("words", [["--split", "half"], ["--label-map", "255:1"]])
def test_settings_that_make_no_sense(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(ConfigError, match=words[0]):
        run(build_datalist, str(tmp_path), *words)
