# SPDX-License-Identifier: Apache-2.0
"""What can be checked of a page without a browser: its order, its texts, its colours."""

from __future__ import annotations

import re
from html.parser import HTMLParser


class Outline(HTMLParser):
    """Collects what a screen reader goes by."""

    def __init__(self) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.alts: list[str | None] = []
        self.scopes: list[str | None] = []
        self.boxes: list[dict[str, str | None]] = []
        self.language: str | None = None
        self.tables = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "img":
            self.alts.append(found.get("alt"))
        if tag == "th":
            self.scopes.append(found.get("scope"))
        if found.get("class") == "scroll":
            self.boxes.append(found)
        self.tables += tag == "table"
        self.language = found.get("lang") if tag == "html" else self.language


def outline_of(page: str) -> Outline:
    """Return the outline of a page."""
    outline = Outline()
    outline.feed(page)
    return outline


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours #rrggbb, 1 to 21 (WCAG 2.2, "contrast ratio" and "relative luminance")."""
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def palettes(css: str) -> dict[str, dict[str, str]]:
    """Return the named colours of the light and the dark scheme."""
    light, dark = re.findall(r":root \{([^}]*)\}", css)
    return {
        name: dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", part)) for name, part in (("light", light), ("dark", dark))
    }
