# SPDX-License-Identifier: Apache-2.0
"""A self-contained page from its sections: no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from string import Template

from dsfedmed.reporting.page.html import Markup, Section, join, tag, text


def whole_page(
    title: str, header: Markup, sections: Iterable[Section], written: Markup, *, above: str = "", css: str = ""
) -> str:
    """Return a page as one HTML text.

    Args:
        title: of the browser's window.
        header: below the banner.
        sections: in order; each is linked at the top.
        written: what wrote the page, for the footer.
        above: a banner over everything.
        css: more styles, behind those of every page.
    """
    shown = tuple(sections)
    return Template(page_resource("page", "page.html")).substitute(
        title=text(title),
        css=page_resource("page", "page.css") + css,
        above=f"{above}\n" if above else "",
        header=header,
        links=join(tag("a", section.title, href=f"#{section.anchor}") for section in shown),
        body=join(tag("section", tag("h2", s.title), s.body, id=s.anchor) for s in shown),
        written=written,
    )


def page_resource(folder: str, name: str) -> str:
    """Return a text file of a folder of `dsfedmed.reporting`."""
    return resources.files("dsfedmed.reporting").joinpath(folder, name).read_text(encoding="utf-8")
