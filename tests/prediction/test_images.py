# SPDX-License-Identifier: Apache-2.0
"""A folder of images: one that fails does not stop the others, a full disk does."""

from __future__ import annotations

import json
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dsfedmed.errors import StoreError
from dsfedmed.prediction import images as module
from dsfedmed.prediction.assembling import Prediction
from dsfedmed.prediction.images import predict_images
from dsfedmed.prediction.predictor import Predictor
from dsfedmed.prediction.sources import find_sources
from tests.prediction.conftest import picture


def folder_of(count: int, folder: Path, side: int = 12) -> Path:
    folder.mkdir()
    for number in range(count):
        Image.fromarray(picture(side, side, number)).save(folder / f"{number}.png")
    return folder


def test_a_bad_file_does_not_stop_the_others(grey_model: Predictor, tmp_path: Path) -> None:
    folder = folder_of(3, tmp_path / "in")
    (folder / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    np.save(folder / "four.npy", np.zeros((5, 5, 4), np.uint8))
    told: list[tuple[int, str]] = []
    out = tmp_path / "out"
    outcome = predict_images(
        grey_model, find_sources(folder, out).images, out, tell=lambda done, name: told.append((done, name))
    )
    assert (outcome.done, outcome.files["mask"]) == (2, 2)
    assert [name for name, _ in outcome.failed] == ["1.png", "four.npy"]
    assert "it has 4 channels and 1 are expected" in str(outcome.failed[1][1])
    assert told == [(0, "0.png"), (1, "1.png"), (2, "2.png"), (3, "four.npy")]
    assert sorted(path.name for path in out.iterdir()) == [
        "0_mask.png", "2_mask.png", "areas.csv", "not_done.txt", "prediction.json",
    ]  # fmt: skip
    record = json.loads((out / "prediction.json").read_text())
    assert (record["finished"], record["images"], record["not_done"]) == (True, 2, 2)
    assert str(tmp_path) not in (out / "prediction.json").read_text() + (out / "not_done.txt").read_text()


def test_everything_that_can_be_asked_for(grey_model: Predictor, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sources = [source for source in find_sources(images, out).images if source.shown in ("wide.png", "scan")]
    outcome = predict_images(grey_model, sources, out, probabilities=True, overlays=True)
    assert dict(outcome.files) == {"mask": 2, "probability": 2, "overlay": 5}
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.*")) == [
        "areas.csv", "prediction.json", "scan_mask.nii.gz",
        *(f"scan_overlays/slice_00{number}.png" for number in range(1, 5)),
        "scan_probability_1.nii.gz", "wide_mask.png", "wide_overlay.png", "wide_probability_1.tif",
    ]  # fmt: skip


def test_a_full_disk_stops_it_and_what_was_done_is_listed(
    grey_model: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = folder_of(3, tmp_path / "in"), tmp_path / "out"
    write = module.write_masks

    def full(folder: Path, name: Path, found: object) -> object:
        if str(name) == "1":
            raise StoreError(folder, "the disk is full", "Free space")
        return write(folder, name, found)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "write_masks", full)
    with pytest.raises(StoreError, match="the disk is full"):
        predict_images(grey_model, find_sources(folder, out).images, out)
    assert (out / "areas.csv").read_text().splitlines()[1].startswith("0.png,,1,lesion,")
    assert json.loads((out / "prediction.json").read_text())["finished"] is False
    assert not (out / "2_mask.png").exists()


def test_memory_does_not_grow_with_the_images(
    grey_model: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an image is looked at, no result of an earlier one is kept."""
    folder, out = folder_of(4, tmp_path / "in"), tmp_path / "out"
    kept: list[weakref.ref[object]] = []
    alive: list[int] = []
    predict = Predictor.predict_source

    def watched(self: Predictor, *given: Any, **options: Any) -> Prediction:
        alive.append(sum(reference() is not None for reference in kept))
        found = predict(self, *given, **options)
        kept.append(weakref.ref(found))
        return found

    monkeypatch.setattr(Predictor, "predict_source", watched)
    predict_images(grey_model, find_sources(folder, out).images, out)
    assert len(kept) == 4
    assert max(alive) <= 1  # the one before, until its name is given to the next
