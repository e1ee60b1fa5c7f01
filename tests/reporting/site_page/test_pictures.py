# SPDX-License-Identifier: Apache-2.0
"""A site's pictures are upright, with the outline on the object; the page holds a stated number of them."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsfedmed.data.checks import Finding
from dsfedmed.data.datalist import SiteDatalist, load_datalist
from dsfedmed.data.review.items import review_items
from dsfedmed.reporting.site_page import choice
from dsfedmed.reporting.site_page.choice import choose
from dsfedmed.reporting.site_page.page import site_page
from dsfedmed.reporting.site_page.pictures import CELL, COLOURS, LARGE, colour_of, outlined_jpeg, side_by_side_jpeg

ROWS, COLUMNS = 60, 90
BOX = (slice(6, 24), slice(48, 84))


def a_site(folder: Path, count: int = 7) -> SiteDatalist:
    """Grey images of 90 x 60 (x, y) with a bright box at the top right, labelled 1 with a 2 inside."""
    document: dict[str, object] = {"name": "<north>", "labels": {"0": "background", "1": "disc", "2": "cup"}}
    parts: dict[str, list[dict[str, str]]] = {"training": [], "validation": [], "test": []}
    (folder / "images").mkdir(parents=True)
    for number in range(count):
        image = np.random.default_rng(number).integers(20, 60, (ROWS, COLUMNS)).astype(np.uint8)
        label = np.zeros((ROWS, COLUMNS), np.uint8)
        image[BOX], label[BOX] = 200, 1
        label[12:18, 60:72] = 2
        Image.fromarray(image).save(folder / f"images/{number}.png")
        Image.fromarray(label).save(folder / f"images/{number}_label.png")
        entry = {"image": f"images/{number}.png", "label": f"images/{number}_label.png"}
        parts["training" if number < count - 2 else "validation" if number < count - 1 else "test"].append(entry)
    (folder / "datalist.json").write_text(json.dumps({**document, **parts}))
    return load_datalist(folder)


def pixels(content: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) of the pixels of about this colour."""
    rows, columns = np.nonzero((abs(picture - colour) < 70).all(axis=2))
    return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())


def test_the_outline_lies_on_the_object(tmp_path: Path) -> None:
    datalist = a_site(tmp_path)
    picture = pixels(outlined_jpeg(datalist, datalist.parts["training"][0]))
    assert picture.shape == (CELL * ROWS // COLUMNS, CELL, 3)
    assert near(picture, COLOURS[0]) == pytest.approx((96, 12, 167, 47), abs=2)
    assert near(picture, COLOURS[1]) == pytest.approx((120, 24, 143, 35), abs=2)
    assert picture[30, 110].mean() > 180, "x to the right, y downwards: the bright box is at the top right"
    assert picture[100, 40].mean() < 80


def test_image_and_mask_stand_side_by_side(tmp_path: Path) -> None:
    datalist = a_site(tmp_path)
    item = datalist.parts["training"][0]
    picture = pixels(side_by_side_jpeg(datalist, item))
    assert picture.shape == (LARGE * ROWS // COLUMNS, 3 * LARGE + 12, 3)
    bare, mask = picture[:, :LARGE], picture[:, 2 * LARGE + 12 :]
    assert abs(bare[..., 0] - bare[..., 2]).max() < 12, "no outline"
    assert near(mask, COLOURS[0]) == pytest.approx((160, 20, 279, 79), abs=2)
    assert near(mask, COLOURS[1]) == pytest.approx((200, 40, 239, 59), abs=2)
    assert mask[150:].max() < 30
    without = type(item)(item.image, None, "p")
    assert pixels(side_by_side_jpeg(datalist, without)).shape == (LARGE * ROWS // COLUMNS, LARGE, 3)


def test_classes_have_their_own_colours() -> None:
    assert len({colour_of(value) for value in range(1, 9)}) == 8
    assert colour_of(9) == colour_of(1)


def test_errors_come_first_and_the_rest_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datalist = a_site(tmp_path)
    items = review_items(datalist)
    findings = [
        Finding("warning", str(tmp_path / "images/1.png"), "odd", "Look."),
        Finding("error", str(tmp_path / "images/3_label.png"), "wrong", "Correct it."),
        Finding("warning", str(tmp_path), "of no picture", "Look."),
    ]
    monkeypatch.setattr(choice, "MOST_SAMPLED", 4)
    shown = choose(items, findings)
    assert dict(shown.outliers) == {3: ["error: wrong"], 1: ["warning: odd"]}
    assert list(shown.outliers) == [3, 1]
    assert shown.samples == {"training": [0, 2], "validation": [5], "test": [6]}
    monkeypatch.setattr(choice, "MOST_OUTLIERS", 1)
    assert (list(choose(items, findings).outliers), choose(items, findings).hidden_outliers) == ([3], 1)


def test_the_page_is_whole_and_says_that_it_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datalist = a_site(tmp_path)
    items = review_items(datalist)
    monkeypatch.setattr(choice, "MOST_SAMPLED", 4)
    page = site_page(datalist, items, [Finding("error", str(tmp_path / "images/3.png"), "<wrong>", "Correct it.")])
    assert page.index("For this hospital alone") < page.index("<header>")
    assert "&lt;north&gt;" in page
    assert "<north>" not in page
    assert "error: &lt;wrong&gt;" in page
    assert "2 of 5 images, 3 are not shown." in page
    assert "images/3.png (training, 90 x 60, 20.0% labelled)".replace("20.0", "12.0") in page
    assert page.count("data:image/jpeg") == 1 + 4
    assert "<script" not in page
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page) == []


def test_a_picture_of_noise_keeps_to_the_stated_size(tmp_path: Path) -> None:
    datalist = a_site(tmp_path, 4)
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "images/0.png")
    Image.fromarray((noise[..., 0] > 128).astype(np.uint8)).save(tmp_path / "images/0_label.png")
    item = datalist.parts["training"][0]
    small, large = len(outlined_jpeg(datalist, item)), len(side_by_side_jpeg(datalist, item))
    assert (choice.MOST_SAMPLED * small + choice.MOST_OUTLIERS * large) * 4 / 3 < 30e6
