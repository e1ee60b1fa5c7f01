# SPDX-License-Identifier: Apache-2.0
"""ISIC: tone clients, held-out sets, archives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from dsfedmed.data.datasets.isic import TONES, tercile
from tests.data.datasets.layouts import SKIN, counts, made, zipped


def test_terciles() -> None:
    assert [tercile(angle, (10.0, 40.0)) for angle in (9.0, 10.0, 40.0, 41.0, None)] == [
        "tone_dark",
        "tone_medium",
        "tone_medium",
        "tone_light",
        "tone_medium",
    ]


def test_three_tones_and_the_held_out_sets(downloads: dict[str, Path], tmp_path: Path) -> None:
    sites = made("isic", downloads["isic"], tmp_path)
    assert list(sites) == [*TONES, "heldout"]
    for tone, kind in zip(TONES, ("dark", "medium", "light"), strict=True):
        assert counts(sites[tone]) == (3, 1, 1)
        for items in sites[tone].parts.values():
            for item in items:
                corner = np.asarray(Image.open(item.image), dtype=int)[0, 0]
                assert np.abs(corner - SKIN[kind]).max() < 8
    assert counts(sites["heldout"]) == (0, 2, 2)
    notes = json.loads((tmp_path / "tone_dark/provenance.json").read_text())["notes"]
    assert "[inferred]" in notes[0]
    assert "0 pictures without" in notes[1]


def test_six_archives_as_they_are_downloaded(downloads: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "download").mkdir()
    for folder in sorted(downloads["isic"].iterdir()):
        inner = tmp_path / folder.name / folder.name
        shutil.copytree(folder, inner)
        zipped(inner.parent, tmp_path / f"download/{folder.name}.zip")
    packed = made("isic", tmp_path / "download", tmp_path / "packed")
    made("isic", downloads["isic"], tmp_path / "unpacked")
    for name in packed:
        for file in ("datalist.json", "images", "labels"):
            one, two = tmp_path / "packed" / name / file, tmp_path / "unpacked" / name / file
            if one.is_file():
                assert one.read_text() == two.read_text()
            else:
                assert {path.name: path.read_bytes() for path in one.iterdir()} == {
                    path.name: path.read_bytes() for path in two.iterdir()
                }


def test_a_damaged_picture_has_no_tone_and_is_left_out(downloads: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(downloads["isic"], tmp_path / "download")
    (tmp_path / "download/ISIC-2017_Training_Data/ISIC_0000000.jpg").write_bytes(b"no picture")
    (tmp_path / "download/ISIC-2017_Training_Part1_GroundTruth/ISIC_0000002_segmentation.png").unlink()
    sites = made("isic", tmp_path / "download", tmp_path / "out", skip_bad=True)
    names = {item.case for site in sites.values() for part in site.parts.values() for item in part}
    assert not names & {"ISIC_0000000", "ISIC_0000002"}
    assert sum(sum(counts(sites[tone])) for tone in TONES) == 13
