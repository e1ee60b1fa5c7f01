# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dsfedmed.reporting.pictures import (
    PREDICTION_COLOURS,
    TARGET_COLOURS,
    Picture,
    contact_sheet,
    overlay_png,
    read_picture_index,
    select_cases,
    shown_channel,
    write_picture_index,
)


def test_select_cases_by_hand() -> None:
    assert select_cases([0.5, 0.9, 0.1, 0.7]) == {"best": 1, "median": 0, "worst": 2}
    assert select_cases([0.5, 0.9]) == {"best": 1, "worst": 0}
    assert select_cases([0.5]) == {"worst": 0}
    with pytest.raises(ValueError, match="no cases"):
        select_cases([])


@given(st.lists(st.floats(0, 1), min_size=3, max_size=30))
def test_selected_cases_are_ordered_and_distinct(dice: list[float]) -> None:
    chosen = select_cases(dice)
    assert len(set(chosen.values())) == len(chosen)
    assert dice[chosen["worst"]] == min(dice)
    if "best" in chosen:
        assert dice[chosen["best"]] == max(dice)
    if "median" in chosen:
        assert min(dice) <= dice[chosen["median"]] <= max(dice)


def colour_box(path: Path, colour: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of a colour in a picture."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    rows, columns = np.nonzero(np.abs(pixels - np.array(colour)).sum(-1) < 60)
    return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())


@pytest.mark.parametrize("channels", [1, 3])
def test_an_overlay_is_upright_and_enlarged(tmp_path: Path, channels: int) -> None:
    target, prediction = torch.zeros(1, 60, 40), torch.zeros(1, 60, 40)
    target[0, 6:24, 10:20] = 1  # x 6 to 24, y 10 to 20: left and above
    prediction[0, 40:54, 24:36] = 1
    path = tmp_path / "deep" / "picture.png"
    overlay_png(torch.full((channels, 60, 40), 0.3), target, prediction, path, longer_side=300)
    assert Image.open(path).size == (300, 200)  # width is x
    assert colour_box(path, TARGET_COLOURS[0]) == pytest.approx((30, 50, 119, 99), abs=2)
    assert colour_box(path, PREDICTION_COLOURS[0]) == pytest.approx((200, 120, 269, 179), abs=2)


def test_of_four_channels_the_first_is_shown_and_said(tmp_path: Path) -> None:
    empty = torch.zeros(1, 8, 8)
    image = torch.stack([torch.full((8, 8), level) for level in (0.2, 0.9, 0.5, 0.0)])
    overlay_png(image, empty, empty, tmp_path / "p.png", longer_side=8)
    assert np.abs(np.asarray(Image.open(tmp_path / "p.png").convert("L")).astype(int) - 51).max() <= 1
    sheet = (image * 255).to(torch.uint8)[None]
    contact_sheet(sheet, torch.zeros(1, 1, 8, 8, dtype=torch.uint8), tmp_path / "s.png", cell=8)
    assert np.abs(np.asarray(Image.open(tmp_path / "s.png").convert("L"))[:8, :8].astype(int) - 51).max() <= 1
    assert shown_channel(4, ("ADC", "FLAIR", "T1", "T2")) == "channel 1 of 4 (ADC)"
    assert (shown_channel(2), shown_channel(1), shown_channel(3)) == ("channel 1 of 2", "", "")
    assert shown_channel(3, ("ADC", "T1", "T2")) == "ADC, T1, T2 as red, green and blue"


def test_a_large_image_is_not_shrunk(tmp_path: Path) -> None:
    empty = torch.zeros(1, 500, 30)
    overlay_png(torch.rand(1, 250, 15), empty, empty, tmp_path / "p.png")
    assert Image.open(tmp_path / "p.png").size == (500, 30)


def test_a_contact_sheet_puts_the_contour_beside_the_bare_image(tmp_path: Path) -> None:
    images = torch.full((5, 3, 16, 16), 90, dtype=torch.uint8)
    labels = torch.zeros(5, 1, 16, 16, dtype=torch.uint8)
    labels[:, :, 4:12, 4:12] = 1
    labels[:, :, 6:10, 6:10] = 2
    contact_sheet(images, labels, tmp_path / "sheet.png", columns=3, cell=64)
    sheet = Image.open(tmp_path / "sheet.png")
    assert sheet.size == (3 * (2 * 64 + 2 + 8) - 8, 2 * (64 + 8) - 8)
    pixels = np.asarray(sheet)
    assert (pixels[:64, :64] == 90).all()  # the first of a pair is bare
    for colour in TARGET_COLOURS[:2]:
        assert (pixels[:64, 66:130] == colour).all(-1).any()


def test_shapes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    mask = torch.zeros(1, 8, 8)
    with pytest.raises(ValueError, match="masks must be"):
        overlay_png(mask, mask, torch.zeros(1, 8, 9), tmp_path / "p.png")
    with pytest.raises(ValueError, match=r"\(C, X, Y\)"):
        overlay_png(torch.zeros(8, 8), mask, mask, tmp_path / "p.png")
    with pytest.raises(ValueError, match="expected"):
        contact_sheet(torch.zeros(0, 1, 8, 8), torch.zeros(0, 1, 8, 8), tmp_path / "s.png")


def test_the_index_comes_back_and_takes_only_files_of_its_folder(tmp_path: Path) -> None:
    assert read_picture_index(tmp_path / "nowhere") == []
    good = Picture("a.png", "dsfedmed", "case0001", "best", 0.9)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "a.png").write_bytes(b"x")
    (tmp_path / "secret.png").write_bytes(b"x")
    outside = Picture("../secret.png", "dsfedmed", "case0002", "worst", 0.1)
    write_picture_index(tmp_path / "site", [good, outside, Picture("gone.png", "dsfedmed", "c", "median", 0.5)])
    assert len(json.loads((tmp_path / "site" / "index.json").read_text())) == 3
    assert read_picture_index(tmp_path / "site") == [good]
