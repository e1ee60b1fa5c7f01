# SPDX-License-Identifier: Apache-2.0
"""Pieces of HTML; every text is escaped here, so that no caller has to remember it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path
from typing import Any

from dsfedmed.errors import one_line
from dsfedmed.reporting.figures.style import Chart


class Markup(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


@dataclass(frozen=True)
class Section:
    """One part of the page."""

    anchor: str
    title: str
    body: Markup


def text(value: object) -> Markup:
    """Escape anything that is not markup already, without what no page can show."""
    return value if isinstance(value, Markup) else Markup(escape(one_line(str(value))))


def tag(name: str, *children: object, css: str = "", **attributes: str) -> Markup:
    """Return one element with escaped children and attributes."""
    if css:
        attributes = {"class": css, **attributes}
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{written}>{''.join(text(child) for child in children)}</{name}>")


def join(parts: Iterable[object]) -> Markup:
    """Concatenate pieces."""
    return Markup("".join(text(part) for part in parts))


def table(head: Sequence[object], rows: Iterable[Sequence[object]], css: str = "", numbers: bool = True) -> Markup:
    """Return a table that scrolls in a box of its own; with ``numbers`` all columns but the first are set right.

    The first cell of a row is its heading.
    """
    body = join(tag("tr", *(_cell(cell, not place) for place, cell in enumerate(row))) for row in rows)
    header = tag("tr", *(tag("th", cell, scope="col") for cell in head))
    styles = " ".join(part for part in (css, "numbers" if numbers else "") if part)
    whole = tag("table", tag("thead", header), tag("tbody", body), css=styles)
    words = ", ".join(plain_text(cell) for cell in head)
    return tag("div", whole, css="scroll", tabindex="0", role="group", aria_label=f"Table: {words}")


def plain_text(piece: object) -> str:
    """Return what a reader sees of a text or a markup."""
    return unescape(re.sub(r"<[^>]+>", "", piece)) if isinstance(piece, Markup) else str(piece)


def chart_figure(charts: Sequence[Chart], caption: object = "") -> Markup:
    """Return charts side by side, below each other where there is no room, or a note when there is nothing to draw."""
    if not charts:
        return nothing("Nothing to draw yet.")
    drawn = (image(base64_of("svg+xml", chart.svg.encode()), chart.alt) for chart in charts)
    return figure(tag("div", *drawn, css="charts"), caption, "plot")


def png_figure(path: Path, alt: str, css: str, caption: object = "") -> Markup:
    """Return a figure with the PNG file embedded; ``alt`` says what is to be seen."""
    return figure(image(base64_of("png", path.read_bytes()), alt), caption, css)


def jpeg_figure(content: bytes, alt: str, css: str, caption: object = "") -> Markup:
    """Return a figure with a JPEG picture embedded; ``alt`` says what is to be seen."""
    return figure(image(base64_of("jpeg", content), alt), caption, css)


def base64_of(kind: str, content: bytes) -> str:
    """Return a picture as the address of itself."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def image(source: str, alt: str) -> Markup:
    """Return an image."""
    return Markup(f'<img src="{source}" alt="{text(alt)}">')


def figure(shown: Markup, caption: object, css: str) -> Markup:
    """Return something shown, with its caption."""
    return tag("figure", shown, tag("figcaption", caption) if caption else Markup(""), css=css)


def nothing(why: object) -> Markup:
    """Return a note that says what is not there."""
    return tag("p", why, css="nothing")


def note(*children: object) -> Markup:
    """Return a paragraph of explanation."""
    return tag("p", *children, css="note")


def dot(colour: str) -> Markup:
    """Return a small disc in a method's colour."""
    return Markup(f'<i class="dot" style="background:{escape(colour)}"></i>')


def tree(value: Any, depth: int = 0) -> Markup:
    """Return nested settings as nested definition lists."""
    if isinstance(value, dict) and value:
        pairs = (join((tag("dt", key), tag("dd", tree(item, depth + 1)))) for key, item in value.items())
        return tag("dl", *pairs, css="settings" if depth == 0 else "nested")
    return tag("code", json.dumps(value, ensure_ascii=False, default=str))


def _cell(cell: object, heads_the_row: bool) -> Markup:
    return tag("th", cell, scope="row") if heads_the_row else tag("td", cell)
