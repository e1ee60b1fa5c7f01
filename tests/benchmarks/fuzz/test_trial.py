# SPDX-License-Identifier: Apache-2.0
"""What counts as read, refused, or a fault: each kind of fault is made to happen and is noticed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsfedmed.data.files.raw import Probe
from dsfedmed.errors import DataError
from dsfedmed_benchmarks.fuzz import trial
from dsfedmed_benchmarks.fuzz.trial import (
    MEMORY,
    MISREAD,
    READ,
    REFUSED,
    TRACEBACK,
    outcome_of,
    try_datalist,
    try_image,
)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_a_good_and_a_cut_file(picture: Path) -> None:
    assert try_image(picture).kind == READ
    picture.write_bytes(picture.read_bytes()[:40])
    assert try_image(picture).kind == REFUSED


def test_a_file_that_should_be_another_one_is_misread(picture: Path, tmp_path: Path) -> None:
    assert try_image(picture, whole=picture).kind == READ
    Image.fromarray(np.zeros((3, 4), dtype=np.uint8)).save(tmp_path / "whole.png")
    assert try_image(picture, whole=tmp_path / "whole.png").kind == MISREAD


def test_a_datalist_that_is_missing_is_refused(tmp_path: Path) -> None:
    outcome = try_datalist(tmp_path)
    assert outcome.kind == REFUSED
    assert "the file is missing" in outcome.text


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ValueError("odd"), TRACEBACK, "ValueError: odd (test_trial.py:"),
        (MemoryError("much"), MEMORY, "much"),
        (DataError("/data/a.png", "it is odd", "Mend it."), REFUSED, "it is odd"),
        (DataError("/data/b.png", "it is odd", "Mend it."), TRACEBACK, "does not name a.png"),
        (DataError("/data/a.png", "it is\nodd", "Mend it."), REFUSED, "it is odd"),
        (DataError("/data/a.png", "it is odd", ""), TRACEBACK, "no fix"),
    ],
)
def test_what_an_error_counts_as(error: Exception, kind: str, words: str) -> None:
    def step() -> None:
        raise error

    outcome = outcome_of(Path("/data/a.png"), step)
    assert outcome.kind == kind
    assert words in outcome.text


@pytest.mark.parametrize(
    ("name", "instead", "words"),
    [
        ("probe", lambda path: Probe((4, 3), 1, 2), "the header says (4, 3), 2"),
        ("scaled", lambda array, window: np.full((2, 2), np.nan), "leaves [0, 1]"),
        ("decode", lambda raw, num_classes: np.zeros((2, 2, 3), dtype=np.uint8), "a label that was read is uint8"),
    ],
)
def test_wrong_readings_are_faults(
    picture: Path, monkeypatch: pytest.MonkeyPatch, name: str, instead: Callable[..., object], words: str
) -> None:
    monkeypatch.setattr(trial, name, instead)
    outcome = try_image(picture)
    assert outcome.kind == TRACEBACK
    assert words in outcome.text
