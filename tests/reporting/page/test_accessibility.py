# SPDX-License-Identifier: Apache-2.0
"""The built page for everybody: order of headings, alternatives of pictures, heads of tables, contrast in both schemes.

axe in a browser finds more; these are its findings of the page of 0.3, held without one.
"""

from __future__ import annotations

import re
from itertools import pairwise, product
from pathlib import Path

import pytest

from dsfedmed.reporting.figures.style import INK, QUIET
from dsfedmed.reporting.page.whole import page_resource
from tests.reporting.page.accessibility import contrast, outline_of, palettes

CSS = page_resource("page", "page.css") + page_resource("site_page", "site_page.css")
ENOUGH = 4.5
PAIRS = [
    *product(("ink", "quiet", "title", "link", "good", "bad"), ("page", "soft")),
    *product(("head-ink", "head-quiet", "head-warm"), ("head", "card")),
    *((f"on-{name}", name) for name in ("blue", "orange", "yellow", "red", "green", "violet")),
]
"""Text and what it lies on."""


def test_the_contrast_of_two_colours_by_hand() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#7b8794", "#ffffff") == pytest.approx(3.66, abs=0.005)  # what axe said of 0.3's quiet text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out(scheme: str) -> None:
    colours = palettes(CSS)[scheme]
    found = {(text, ground): contrast(colours[text], colours[ground]) for text, ground in PAIRS}
    assert {pair: round(value, 2) for pair, value in found.items() if value < ENOUGH} == {}


def test_the_pairs_are_all_colours_and_styles_name_no_others() -> None:
    light, dark = palettes(CSS).values()
    assert light.keys() == dark.keys()
    assert light.keys() - {name for pair in PAIRS for name in pair} == {"line", "paper"}
    rules = re.sub(r":root \{[^}]*\}", "", CSS)
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(", rules) == []
    texts = {name for name, _ in PAIRS}
    assert set(re.findall(r"(?<![\w-])color: var\(--([\w-]+)\)", rules)) <= texts
    assert ":focus-visible" in rules


def test_letters_of_charts_stand_out_on_paper() -> None:
    for scheme in palettes(CSS).values():
        assert min(contrast(colour, scheme["paper"]) for colour in (INK, QUIET)) >= ENOUGH


@pytest.fixture(scope="module")
def page(built_run: Path) -> str:
    return (built_run / "report.html").read_text(encoding="utf-8")


def test_no_heading_is_skipped(page: str) -> None:
    headings = outline_of(page).headings
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert [(a, b) for a, b in pairwise(headings) if b > a + 1] == []


def test_every_picture_says_what_it_shows(page: str) -> None:
    alts = outline_of(page).alts
    assert len(alts) > 20
    assert [alt for alt in alts if not alt or len(alt) < 20] == []
    assert len(set(alts)) == len(alts), "no two pictures say the same"


def test_charts_say_their_figures(page: str) -> None:
    alts = [alt or "" for alt in outline_of(page).alts]
    (seen,) = (alt for alt in alts if alt.startswith("Seen sites"))
    assert re.search(r"DSFedMed \d+\.\d \(\d+\.\d to \d+\.\d\)", seen)
    assert any(alt.startswith("Time by stage: check sites 4.2 s; fit base") for alt in alts)


def test_tables_have_heads_and_scroll_in_a_box_that_keys_reach(page: str) -> None:
    outline = outline_of(page)
    assert set(outline.scopes) == {"col", "row"}
    assert len(outline.boxes) == outline.tables > 5
    assert all(box["tabindex"] == "0" and box["role"] == "group" and box["aria-label"] for box in outline.boxes)


def test_the_page_names_its_language_and_knows_dark(page: str) -> None:
    assert outline_of(page).language == "en"
    assert "@media (prefers-color-scheme: dark)" in page
    assert "color-scheme: light dark" in page


def test_charts_are_drawn_for_a_phone_and_stack(page: str) -> None:
    """A letter of 9 points in a chart of 3.7 inches has 11 pixels where the chart is 326 wide."""
    import base64

    drawn = [base64.b64decode(text).decode() for text in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page)]
    widths = [float(re.search(r'width="([\d.]+)pt"', svg)[1]) for svg in drawn]  # type: ignore[index]
    assert len(widths) > 10
    assert max(widths) <= 3.7 * 72 + 1
    assert "minmax(min(100%, 320px), 1fr)" in CSS
