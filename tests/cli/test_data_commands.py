# SPDX-License-Identifier: Apache-2.0
"""The data commands as a user types them."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from dsfedmed.cli import build_datalist, check_site, demo_sites, subset_sites
from dsfedmed.errors import ConfigError, DataError

SMALL = ["--sites", "north", "--training", "3", "--validation", "1", "--test", "1", "--size", "40", "32"]


def word(command: ModuleType) -> str:
    return command.__name__.rpartition(".")[2].replace("_", "-")


def run(command: ModuleType, *words: str) -> int:
    parser = argparse.ArgumentParser(prog=word(command))
    command.configure(parser)
    return int(command.run(parser.parse_args(words)))


@pytest.mark.parametrize("command", [demo_sites, subset_sites, check_site, build_datalist])
def test_help_shows_examples(command: ModuleType) -> None:
    assert command.__doc__ is not None
    assert f"dsfedmed {word(command)}" in command.__doc__
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


def test_one_error_is_one_and_a_folder_of_sites_is_no_site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(demo_sites, str(tmp_path), *SMALL)
    with pytest.raises(
        DataError, match=rf"is no site, but .* one site or several: `dsfedmed check-site {tmp_path}/north`"
    ):
        run(check_site, str(tmp_path))
    (tmp_path / "north/labels/test_0000.png").unlink()
    assert run(check_site, str(tmp_path / "north")) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "  1 error, 1 warning"


def test_build_datalist_from_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(demo_sites, str(tmp_path), *SMALL)
    folder = str(tmp_path / "north")
    words = ["--force", "--case-regex", "^([a-z]+_[0-9]+)", "--split", "0.5/0.25/0.25", "--label-names", "lesion"]
    assert run(build_datalist, folder, *words) == 0
    assert capsys.readouterr().out.splitlines()[-4:] == [
        f"{folder}/datalist.json: 5 images: 2 training, 2 validation, 1 test",  # 2.5 and 3.75 of 5, rounded
        "  5 patients, as '^([a-z]+_[0-9]+)' finds them",
        "Next:",
        f"  dsfedmed check-site {folder}",
    ]
    assert run(check_site, folder) == 0


@pytest.mark.parametrize("words", [["--split", "half"], ["--label-map", "255:1"]])
def test_settings_that_make_no_sense(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(ConfigError, match=words[0]):
        run(build_datalist, str(tmp_path), *words)


def slices(folder: Path, *names: str) -> str:
    """Paired folders with these image files."""
    for number, name in enumerate(names):
        for kind, array in (("images", np.full((8, 8), number * 5, np.uint8)), ("labels", np.eye(8, dtype=np.uint8))):
            path = folder / kind / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
    return str(folder)


def patients_of(folder: str) -> dict[str, set[str]]:
    listed = json.loads((Path(folder) / "datalist.json").read_text())
    return {part: {entry["case"] for entry in listed[part]} for part in ("training", "validation", "test")}


def test_build_datalist_finds_the_patients_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = slices(tmp_path, *(f"patient{p}_slice{i}.png" for p in range(5) for i in range(4)))
    assert run(build_datalist, folder) == 0
    said = capsys.readouterr().out
    assert "those of 5 patients (20 files); each is one case" in said
    assert "patient0_slice0.png, patient0_slice1.png" in said
    cases = patients_of(folder)
    assert sorted(case for part in cases.values() for case in part) == [f"patient{p}" for p in range(5)]
    regex = said.split("--case-regex '")[1].split("'")[0]
    assert run(build_datalist, folder, "--force", "--case-regex", regex) == 0
    assert patients_of(folder) == cases
    said = capsys.readouterr().out
    assert "look like" not in said
    assert f"  5 patients, as {regex!r} finds them\n" in said
    assert run(build_datalist, folder, "--force", "--case-regex", "none") == 0
    assert "  every file is taken as one patient, as --case-regex says\n" in capsys.readouterr().out
    assert sum(map(len, patients_of(folder).values())) == 20
    assert run(check_site, folder) == 0
    assert "WARNING" in (checked := capsys.readouterr().out)
    assert "5 patients" in checked


def test_names_without_patients_are_taken_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = slices(tmp_path, *(f"{n:04}.png" for n in range(8)))
    assert run(build_datalist, folder) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{folder}/datalist.json: 8 images: 5 training, 1 validation, 2 test",
        "  every file is taken as one patient: the names show none (--case-regex says where they do)",
        "  the class is called 'label 1': --label-names gives another (with --force)",
        "Next:",
        f"  dsfedmed check-site {folder}",
    ]
    assert sum(map(len, patients_of(folder).values())) == 8


def clients(root: Path, training: list[str], test: list[str]) -> str:
    for name, kind in [(n, "") for n in training] + [(n, "val_") for n in test]:
        for folder, array in ((f"{kind}data_npy", np.zeros((8, 8))), (f"{kind}label_npy", np.eye(8))):
            (root / "client" / folder).mkdir(parents=True, exist_ok=True)
            np.save(root / "client" / folder / f"{name}.npy", array.astype(np.uint8))
    return str(root)


def test_the_npy_layout_has_its_patients_on_one_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = clients(tmp_path / "good", [f"Case{p:02}_{i}" for p in range(4) for i in range(2)], ["Case09_0", "Case09_1"])
    assert run(build_datalist, good, "--layout", "npy") == 0
    said = capsys.readouterr().out
    assert f"{good}/client/datalist.json: 10 images: 6 training, 2 validation, 2 test\n  5 patients, as " in said
    assert said.endswith(f"Next:\n  dsfedmed check-site {good}/client\n")
    assert patients_of(f"{good}/client")["test"] == {"Case09"}
    both = clients(tmp_path / "both", [f"Case{p:02}_{i}" for p in range(4) for i in range(2)], ["Case03_2"])
    with pytest.raises(DataError, match=r"client: case 'Case03' .* in data_npy and in val_data_npy"):
        run(build_datalist, both, "--layout", "npy")
    assert run(build_datalist, both, "--layout", "npy", "--case-regex", "none") == 0


def test_several_folders_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(demo_sites, str(tmp_path), *SMALL)
    shutil.copytree(tmp_path / "north", tmp_path / "copy")
    capsys.readouterr()
    assert run(check_site, str(tmp_path / "north"), str(tmp_path / "copy")) == 0
    told = capsys.readouterr().out.split("the sites together")[1]
    assert "0 errors, 5 warnings" in told
    assert "byte by byte" in told


def test_check_site_writes_pages_of_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(demo_sites, str(tmp_path), *SMALL)
    north = str(tmp_path / "north")
    assert run(check_site, north, "--pictures", str(tmp_path / "north.html")) == 0
    assert "north.html: for this hospital alone" in capsys.readouterr().out
    assert "data:image/jpeg" in (tmp_path / "north.html").read_text()
    broken = tmp_path / "broken"
    broken.mkdir()
    assert run(check_site, north, str(broken), "--pictures", str(tmp_path / "pages")) == 1
    assert [path.name for path in (tmp_path / "pages").iterdir()] == ["north.html"]
    assert "no page of pictures" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="one page and there are 2 sites"):
        run(check_site, north, str(broken), "--pictures", str(tmp_path / "one.html"))
    with pytest.raises(ConfigError, match="the same name"):
        run(check_site, north, str(tmp_path / "other/north"), "--pictures", str(tmp_path / "pages"))
