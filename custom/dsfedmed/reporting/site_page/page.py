# SPDX-License-Identifier: Apache-2.0
"""The page of one site as self-contained HTML: no script, nothing from elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dsfedmed.data.checks import Finding
from dsfedmed.data.datalist import PARTS, SiteDatalist
from dsfedmed.data.review.items import ReviewedItem
from dsfedmed.reporting.page.html import (
    Markup,
    Section,
    chart_figure,
    join,
    jpeg_figure,
    note,
    nothing,
    plain_text,
    table,
    tag,
    text,
)  # fmt: skip
from dsfedmed.reporting.page.whole import page_resource, whole_page
from dsfedmed.reporting.site_page.choice import Shown, choose
from dsfedmed.reporting.site_page.figures import area_chart, grey_chart
from dsfedmed.reporting.site_page.pictures import colour_of, outlined_jpeg, side_by_side_jpeg

MOST_SIZES = 8
PRIVATE = "For this hospital alone: this page shows patient images. Do not send it."


def site_page(datalist: SiteDatalist, items: Sequence[ReviewedItem], findings: Sequence[Finding]) -> str:
    """Return the page of a site; `choice` says which images it shows, and how large it gets.

    Args:
        datalist: of the site.
        items: its images, as read.
        findings: all of check-site, for this site.

    Raises:
        DataError: a file that could be read before cannot be read any more.
    """
    shown = choose(items, findings)
    sections = (
        _overview(datalist, items),
        _findings(findings),
        _outliers(datalist, items, shown),
        *(_part(datalist, items, shown, part) for part in PARTS if shown.samples[part]),
    )
    count = Counter(finding.level for finding in findings)
    facts = (
        f"{len(items)} images, {count['error']} errors, {count['warning']} warnings, {len(shown.outliers)} shown first"
    )
    return whole_page(
        f"{datalist.name}: images and masks",
        join((tag("p", "Site", css="kicker"), tag("h1", datalist.name), tag("p", facts, css="facts"))),
        sections,
        tag("code", "dsfedmed check-site --pictures"),
        above=tag("p", PRIVATE, css="private"),
        css=page_resource("site_page", "site_page.css"),
    )


def _overview(datalist: SiteDatalist, items: Sequence[ReviewedItem]) -> Section:
    """Return counts, label values, sizes and spacings, the grey values and the areas."""
    rows = []
    for part in PARTS:
        found = [item for item in items if item.part == part]
        values = sorted({value for item in found for value in item.values})
        cases, bare = len({item.item.case for item in found}), sum(item.areas is None for item in found)
        rows.append((part, len(found), cases, bare, " ".join(map(str, values)) or "-"))
    sizes = Counter(item.size for item in items)
    spacings = Counter(_spacing(item) for item in items)
    figures = (chart_figure(grey_chart(items)), chart_figure(area_chart(items, datalist.label_names)))
    body = (
        table(("Part", "Images", "Cases", "Without mask", "Label values"), rows),
        tag("div", *(tag("div", figure, css="half") for figure in figures), css="halves"),
        table(("Size, pixels (x x y)", "Images"), _counted({f"{x} x {y}": n for (x, y), n in sizes.items()})),
        table(("Spacing, mm (x x y)", "Images"), _counted(dict(spacings))),
    )
    return Section("overview", "Overview", join(body))


def _spacing(item: ReviewedItem) -> str:
    return "not known" if item.spacing is None else f"{item.spacing[0]:.3g} x {item.spacing[1]:.3g}"


def _counted(counts: dict[str, int]) -> list[tuple[str, int]]:
    """Return the most frequent entries, and how many images have others."""
    order = sorted(counts.items(), key=lambda entry: -entry[1])
    rest = sum(count for _, count in order[MOST_SIZES:])
    return [*order[:MOST_SIZES], *([(f"{len(order) - MOST_SIZES} others", rest)] if rest else [])]


def _findings(findings: Sequence[Finding]) -> Section:
    """Return what check-site prints."""
    if not findings:
        return Section("findings", "Errors and warnings", nothing("None."))
    rows = [
        (tag("span", finding.level, css=f"kind {finding.level}"), finding.where, f"{finding.reason}. {finding.fix}")
        for finding in findings
    ]
    return Section("findings", "Errors and warnings", table(("Level", "Where", "What"), rows, numbers=False))


def _outliers(datalist: SiteDatalist, items: Sequence[ReviewedItem], shown: Shown) -> Section:
    """Return the images that stand out: bare, with outlines, and the mask alone."""
    parts: list[Markup] = [
        note("Each as training sees it, beside its outlines and its mask. Does the outline lie on the object?"),
        _legend(datalist),
    ]
    for index, reasons in shown.outliers.items():
        item = items[index]
        caption = join((_name(datalist, item), *(tag("span", reason, css="says") for reason in reasons)))
        parts.append(
            jpeg_figure(
                side_by_side_jpeg(datalist, item.item),
                f"Bare, with outlines, mask: {plain_text(caption)}",
                "wide-cell",
                caption,
            )
        )
    if shown.hidden_outliers:
        parts.append(nothing(f"{shown.hidden_outliers} more stand out and are not shown."))
    if not shown.outliers:
        parts = [nothing("No image stands out.")]
    return Section("outliers", "Look at these first", join(parts))


def _part(datalist: SiteDatalist, items: Sequence[ReviewedItem], shown: Shown, part: str) -> Section:
    """Return an even sample of a part as a contact sheet."""
    indices, total = shown.samples[part], sum(item.part == part for item in items)
    left = f", {total - len(indices)} are not shown" if total > len(indices) else ""
    cells = [
        jpeg_figure(outlined_jpeg(datalist, items[index].item), f"With outlines: {plain_text(name)}", "cell", name)
        for index in indices
        for name in (_name(datalist, items[index]),)
    ]
    body = (note(f"{len(indices)} of {total} images{left}."), _legend(datalist), tag("div", *cells, css="cells"))
    return Section(part, part.capitalize(), join(body))


def _name(datalist: SiteDatalist, item: ReviewedItem) -> Markup:
    """Return file, slice, part and labelled share of an image."""
    entry = item.item
    name = entry.image.relative_to(datalist.root).as_posix()
    place = "" if entry.slice_index is None else f", slice {entry.slice_index}"
    share = "no mask" if item.labelled is None else f"{item.labelled:.1%} labelled"
    return text(f"{name}{place} ({item.part}, {item.size[0]} x {item.size[1]}, {share})")


def _legend(datalist: SiteDatalist) -> Markup:
    """Return the colours of the classes."""
    parts: list[object] = ["Outlines:"]
    for value, name in enumerate(datalist.label_names, start=1):
        colour = "#{:02x}{:02x}{:02x}".format(*colour_of(value))
        parts += [tag("i", css="swatch", style=f"background:{colour}"), f"{value} {name}"]
    return tag("p", *parts, css="note")
