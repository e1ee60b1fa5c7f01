# SPDX-License-Identifier: Apache-2.0
"""Images of a site that are unlike its others, each with the reason in words; a person judges them from a picture.

A number is far where it differs from the site's median by more than 5 standard deviations, estimated by the median
absolute deviation, and by more than a floor. Areas are compared by ratio.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median

from dsfedmed.data.review.items import ReviewedItem

DEVIATIONS = 5 * 1.4826
AREA_FLOOR = math.log(4)
GREY_FLOOR = 0.15
USUAL_SHARE, LEAST_CONTRAST = 0.8, 0.02
RARE_SHARE = 0.1
FEWEST = 5
"""Of fewer images nothing is usual."""


def outliers(items: Sequence[ReviewedItem]) -> dict[int, list[str]]:
    """Return, by its index, why an image stands out: empty or full mask, area, grey values, contrast, turned size.

    Args:
        items: all images of a site.
    """
    found: dict[int, list[str]] = {}
    for index, item in enumerate(items):
        reason = _mask_reason(item)
        if reason:
            found[index] = [reason]
    for index, reason in (*_areas(items), *_greys(items), *_contrasts(items), *_sizes(items)):
        found.setdefault(index, []).append(reason)
    return dict(sorted(found.items()))


def _mask_reason(item: ReviewedItem) -> str:
    words = {0.0: "the mask is empty", 1.0: "the mask covers the whole image"}
    return "" if item.labelled is None else words.get(item.labelled, "")


def _areas(items: Sequence[ReviewedItem]) -> Iterator[tuple[int, str]]:
    areas = {index: item.labelled for index, item in enumerate(items) if item.labelled}
    for index, usual in _far({index: math.log(area) for index, area in areas.items()}, AREA_FLOOR):
        yield index, f"the labelled share is {areas[index]:.1%}, usually {math.exp(usual):.1%}"


def _greys(items: Sequence[ReviewedItem]) -> Iterator[tuple[int, str]]:
    for index, usual in _far({index: item.mean for index, item in enumerate(items)}, GREY_FLOOR):
        yield index, f"its mean grey value is {items[index].mean:.2f}, usually {usual:.2f}"
    inside = {index: item.inside for index, item in enumerate(items) if item.inside is not None}
    for index, usual in _far(inside, GREY_FLOOR):
        yield index, f"the mean grey value inside the mask is {inside[index]:.2f}, usually {usual:.2f}"


def _contrasts(items: Sequence[ReviewedItem]) -> Iterator[tuple[int, str]]:
    """Yield masks that lie on the dark side where the site's lie on the bright one, or the other way round."""
    known = {index: item.contrast for index, item in enumerate(items) if item.contrast is not None}
    brighter = sum(contrast > 0 for contrast in known.values())
    if len(known) < FEWEST or max(brighter, len(known) - brighter) < USUAL_SHARE * len(known):
        return
    sign = 1 if 2 * brighter > len(known) else -1
    here, usual = ("darker", "brighter") if sign > 0 else ("brighter", "darker")
    for index, contrast in known.items():
        if sign * contrast < -LEAST_CONTRAST:
            yield index, f"inside the mask it is {here} than outside, usually {usual}: inverted, turned or misplaced?"


def _sizes(items: Sequence[ReviewedItem]) -> Iterator[tuple[int, str]]:
    """Yield images whose sides are those of most others the other way round."""
    if len(items) < FEWEST:
        return
    counts = Counter(item.size for item in items)
    (x, y), _ = counts.most_common(1)[0]
    if x != y and counts[y, x] < RARE_SHARE * len(items):
        for index, item in enumerate(items):
            if item.size == (y, x):
                yield index, f"its size is {y} x {x}, usually {x} x {y}: turned by a quarter?"


def _far(values: dict[int, float], floor: float) -> Iterator[tuple[int, float]]:
    """Yield the index of every number that is far from the median, and the median."""
    if len(values) < FEWEST:
        return
    centre = median(values.values())
    deviation = median(abs(value - centre) for value in values.values())
    for index, value in values.items():
        if abs(value - centre) > max(floor, DEVIATIONS * deviation):
            yield index, centre
