# SPDX-License-Identifier: Apache-2.0
"""A few coarse numbers of what a site's images look like, which the site tells when a run starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, median
from typing import Annotated, Any, TypeAlias

from dsfedmed.data.datalist import SiteDatalist
from dsfedmed.data.review.items import review_item
from dsfedmed.ranges import Between, Fraction, Pixels

FEWEST, MOST = 5, 200
Millimetres: TypeAlias = Annotated[float, Between(0, 1000)]


@dataclass(frozen=True)
class SiteLook:
    """Means and medians over the training and validation images of a site, of at least five of them and rounded.

    They tell nothing of one patient: a mean to 0.01 over five images or more, and sizes, which devices have in common.

    Attributes:
        grey_mean: mean grey value of luminance in [0, 1], to 0.01.
        grey_spread: mean standard deviation of the grey values of an image, to 0.01.
        foreground: mean share of an image that is labelled, to 0.001; 0 without masks.
        size: median (x, y), pixels.
        spacing: median (x, y), mm, to 0.01; 0 where fewer than five files have one.
    """

    grey_mean: Fraction
    grey_spread: Fraction
    foreground: Fraction
    size: tuple[Pixels, Pixels]
    spacing: tuple[Millimetres, Millimetres]

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> SiteLook:
        """Read the JSON form; ranges are checked where it comes over the wire.

        Raises:
            TypeError: keys are missing or unknown.
        """
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in document.items()}
        return cls(**fields)


def site_look(datalist: SiteDatalist) -> SiteLook | None:
    """Return the look of a site over at most 200 of its images, evenly chosen; None for fewer than five.

    Raises:
        DataError: naming the file that cannot be read.
    """
    listed = [(part, item) for part in ("training", "validation") for item in datalist.parts.get(part, ())]
    if len(listed) < FEWEST:
        return None
    count = min(MOST, len(listed))
    chosen = [listed[index * len(listed) // count] for index in range(count)]
    items = [review_item(datalist, part, item) for part, item in chosen]
    foreground = [item.labelled for item in items if item.labelled is not None]
    spacings = [item.spacing for item in items if item.spacing is not None]
    known = len(spacings) >= FEWEST
    return SiteLook(
        grey_mean=round(fmean(item.mean for item in items), 2),
        grey_spread=round(fmean(item.spread for item in items), 2),
        foreground=round(fmean(foreground), 3) if len(foreground) >= FEWEST else 0.0,
        size=(round(median(item.size[0] for item in items)), round(median(item.size[1] for item in items))),
        spacing=(_median_of(spacings, 0), _median_of(spacings, 1)) if known else (0.0, 0.0),
    )


def _median_of(spacings: list[tuple[float, float]], axis: int) -> float:
    return min(1000.0, round(median(spacing[axis] for spacing in spacings), 2))
