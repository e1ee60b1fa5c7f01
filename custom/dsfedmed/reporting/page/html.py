# SPDX-License-Identifier: Apache-2.0
"""Pieces of HTML; every text is escaped here, so that no caller has to remember it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any


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
    """Escape anything that is not markup already."""
    return value if isinstance(value, Markup) else Markup(escape(str(value)))


def tag(name: str, *children: object, css: str = "", **attributes: str) -> Markup:
    """Return one element with escaped children and attributes."""
    if css:
        attributes = {"class": css, **attributes}
    written = "".join(f' {key.rstrip("_")}="{escape(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{written}>{''.join(text(child) for child in children)}</{name}>")


def join(parts: Iterable[object]) -> Markup:
    """Concatenate pieces."""
    return Markup("".join(text(part) for part in parts))


def table(head: Sequence[object], rows: Iterable[Sequence[object]], css: str = "", numbers: bool = True) -> Markup:
    """Return a table; with ``numbers`` all columns but the first are set right."""
    body = join(tag("tr", *(tag("td", cell) for cell in row)) for row in rows)
    header = tag("tr", *(tag("th", cell) for cell in head))
    styles = " ".join(part for part in (css, "numbers" if numbers else "") if part)
    return tag("div", tag("table", tag("thead", header), tag("tbody", body), css=styles), css="scroll")


def svg_figure(svg: str | None, caption: object = "") -> Markup:
    """Return a figure with the SVG embedded as an image, or a note when there is nothing to draw."""
    if svg is None:
        return nothing("Nothing to draw yet.")
    return _figure(f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}", caption, "plot")


def png_figure(path: Path, caption: object, css: str) -> Markup:
    """Return a figure with the PNG file embedded."""
    return _figure(f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}", caption, css)


def jpeg_figure(content: bytes, caption: object, css: str) -> Markup:
    """Return a figure with a JPEG picture embedded."""
    return _figure(f"data:image/jpeg;base64,{base64.b64encode(content).decode()}", caption, css)


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


def _figure(source: str, caption: object, css: str) -> Markup:
    """Return an image with its caption."""
    image = Markup(f'<img src="{source}" alt="{escape(str(caption)) if not isinstance(caption, Markup) else ""}">')
    return tag("figure", image, tag("figcaption", caption) if caption else Markup(""), css=css)
