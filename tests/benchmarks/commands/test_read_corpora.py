# SPDX-License-Identifier: Apache-2.0
"""The command `read-corpora`: files of installed packages are read, compared, counted and drawn."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from dsfedmed.data.files.raw import Raw
from dsfedmed_benchmarks.cli import main
from dsfedmed_benchmarks.corpora import plain, reading
from dsfedmed_benchmarks.corpora.packaged import packaged_files
from dsfedmed_benchmarks.corpora.plain import likeness
from dsfedmed_benchmarks.measurement.table import Benchmark
from tests.data.files.making import dicom, shape_of

COMMITTED = Path(__file__).resolve().parents[3] / "docs" / "results" / "corpora.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A package as pip installs it, with a good picture of each kind, a damaged one and a text."""
    found = tmp_path / "installed"
    (found / "atlas" / "data").mkdir(parents=True)
    (found / "atlas-2.5.dist-info").mkdir()
    (found / "atlas-2.5.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: atlas\nVersion: 2.5\n")
    data = found / "atlas" / "data"
    Image.fromarray(shape_of()).save(data / "grey.png")
    (data / "cut.png").write_bytes((data / "grey.png").read_bytes()[:60])
    dicom(data / "scan", shape_of(), PhotometricInterpretation="MONOCHROME1")
    volume = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([-1.0, 2.0, 3.0, 1.0])), data / "volume.nii")
    (data / "LICENSE").write_text("words")
    names = [f"atlas/data/{path.name},," for path in sorted(data.iterdir())]
    (found / "atlas-2.5.dist-info" / "RECORD").write_text("\n".join(names) + "\n")
    return found


def test_the_table_and_the_sheets(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--out", str(tmp_path / "out"), "--package", "atlas", "--also", str(folder), "--looked", "All looked at."]
    assert main(["read-corpora", *words]) == 0
    table = Benchmark(**json.loads((tmp_path / "out" / "corpora.json").read_text(encoding="utf-8")))
    assert table.rows == [
        ["atlas 2.5", "PNG", 2, 1, 1, 0, 1, 0],
        ["atlas 2.5", "DICOM", 1, 1, 0, 0, 1, 0],
        ["atlas 2.5", "NIfTI", 1, 1, 0, 0, 1, 0],
        ["all", "", 4, 3, 1, 0, 3, 0],
    ]
    assert "All looked at." in table.notes
    assert any(note.startswith("Refused, 1: it cannot be read") and note.endswith("cut.png") for note in table.notes)
    assert str(tmp_path) not in table.to_markdown()
    sheet = np.asarray(Image.open(tmp_path / "out" / "atlas-2.5-0.png").convert("L"))
    assert len(np.unique(sheet)) > 20


def test_a_traceback_and_another_reading_are_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--out", str(tmp_path / "out"), "--package", "atlas", "--also", str(folder)]
    honest = reading.scaled
    monkeypatch.setattr(reading, "scaled", lambda array, window: 1 - honest(array, window))
    assert main(["read-corpora", *words]) == 0
    assert "Otherwise: atlas/data/grey.png, correlation -1.000" in capsys.readouterr().out
    monkeypatch.setattr(reading, "windows", lambda raw: raw.nothing)
    assert main(["read-corpora", *words]) == 1
    assert "Traceback, 3: AttributeError" in capsys.readouterr().out


def test_a_turned_volume_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (volume,) = [file for file in packaged_files([folder]) if file.name == "atlas/data/volume.nii"]
    read = reading.read_raw(volume.path)
    assert likeness(read, {}, volume.kind) == pytest.approx(1)
    turned = Raw(read.path, read.array[::-1], read.affine, True, frame=read.frame)
    found = likeness(turned, {}, volume.kind)
    assert found is not None
    assert found < plain.ALIKE


@pytest.mark.parametrize("words", [["--package", "no-such"], ["--package", "numpy", "--table", "a.txt"]])
def test_wrong_options_are_named(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read-corpora", "--out", str(tmp_path), *words]) == 2
    assert capsys.readouterr().err.startswith("dsfedmed_benchmarks: ")


def test_the_committed_run_read_or_refused_every_file() -> None:
    table = Benchmark(**json.loads(COMMITTED.read_text(encoding="utf-8")))
    counts = dict(zip(table.columns, table.rows[-1], strict=True))
    assert counts["files"] == counts["read"] + counts["refused"] > 200
    assert (counts["traceback"], counts["otherwise"]) == (0, 0)
