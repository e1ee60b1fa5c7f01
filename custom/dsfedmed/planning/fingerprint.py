# SPDX-License-Identifier: Apache-2.0
"""The fingerprint of a site: how many images of which kind and size, which objects, which grey values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from dsfedmed.data.datalist import SiteDatalist
from dsfedmed.data.facts import SiteFacts
from dsfedmed.planning.look import ImageLook


@dataclass(frozen=True)
class ClassFingerprint:
    """One class at a site.

    Attributes:
        name: as the datalist has it.
        shown: share of the labelled images that show it.
        share: median share of such an image that it fills; 0 where none shows it.
        across: median diameter of one object, as a share of the image's side; None where there is no object.
    """

    name: str
    shown: float
    share: float
    across: float | None


@dataclass(frozen=True)
class SiteFingerprint:
    """One site; numbers of images' content are over those that were looked at.

    Attributes:
        name: of the site, as people know it.
        takes_part: False for a site that is held out.
        counts: images (slices) per part.
        cases: patients, over all parts.
        channels: of its images.
        kinds: endings of its files.
        looked_at: how many images.
        sides: median (x, y), pixels.
        shortest, longest: least and greatest side of any of them, pixels.
        spacing: median (x, y), mm; None where no file says it.
        classes: one each, in the order of the labels.
        grey: mean grey value, mean deviation within an image, means of its 5th and 95th percentile, all in [0, 1].
        contrast: median of inside less outside; None without masks.
        brighter: share of the images whose objects are brighter than the rest; None without masks.
    """

    name: str
    takes_part: bool
    counts: dict[str, int]
    cases: int
    channels: int
    kinds: tuple[str, ...]
    looked_at: int
    sides: tuple[int, int]
    shortest: int
    longest: int
    spacing: tuple[float, float] | None
    classes: tuple[ClassFingerprint, ...]
    grey: tuple[float, float, float, float]
    contrast: float | None
    brighter: float | None

    @property
    def longer_side(self) -> int:
        """The longer of the median sides, pixels."""
        return max(self.sides)

    @property
    def smallest_object(self) -> float | None:
        """Median diameter of the objects of its smallest class, as a share of the side; None without any."""
        return min((found.across for found in self.classes if found.across is not None), default=None)


def fingerprint(
    name: str, takes_part: bool, datalist: SiteDatalist, facts: SiteFacts, looks: Sequence[ImageLook]
) -> SiteFingerprint:
    """Return a site's fingerprint.

    Args:
        name: as people know it.
        takes_part: whether it is one of the source sites.
        datalist: of the site.
        facts: what it would tell the server.
        looks: of its images, at least one.
    """
    spacings = [look.spacing for look in looks if look.spacing is not None]
    contrasts = [look.contrast for look in looks if look.contrast is not None]
    return SiteFingerprint(
        name=name,
        takes_part=takes_part,
        counts=dict(facts.counts),
        cases=len({item.case for items in datalist.parts.values() for item in items}),
        channels=facts.channels,
        kinds=facts.suffixes,
        looked_at=len(looks),
        sides=(round(median(look.size[0] for look in looks)), round(median(look.size[1] for look in looks))),
        shortest=min(min(look.size) for look in looks),
        longest=max(max(look.size) for look in looks),
        spacing=(median(x for x, _ in spacings), median(y for _, y in spacings)) if spacings else None,
        classes=tuple(_class(place, label, looks) for place, label in enumerate(datalist.label_names)),
        grey=(
            fmean(look.mean for look in looks),
            fmean(look.deviation for look in looks),
            fmean(look.low for look in looks),
            fmean(look.high for look in looks),
        ),
        contrast=median(contrasts) if contrasts else None,
        brighter=fmean(value > 0 for value in contrasts) if contrasts else None,
    )


def _class(place: int, name: str, looks: Sequence[ImageLook]) -> ClassFingerprint:
    """Return what a class looks like over the labelled images."""
    areas = [look.areas[place] for look in looks if look.areas is not None]
    shown = [area for area in areas if area > 0]
    objects = [across for look in looks if look.objects for across in look.objects[place]]
    return ClassFingerprint(
        name,
        len(shown) / len(areas) if areas else 0.0,
        median(shown) if shown else 0.0,
        median(objects) if objects else None,
    )
