# SPDX-License-Identifier: Apache-2.0
"""Which site looks unlike the others: said with both numbers, for people to judge; it stops nothing.

Each number of a site is held against the median of the other sites. It stands out where it is farther from it than
`TIMES` the median absolute deviation of the others, and than a floor below which devices differ every day. With three
to five sites the deviation rests on two to four numbers, and the floor decides among sites that agree closely. Two
sites that differ are both told: nobody can say which one is off. Shares, sizes and spacings are compared by ratio.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from dsfedmed.data.review.look import SiteLook

TIMES = 4.0
SMALLEST = 0.001
"""Least number that a ratio is taken of: a share of 0 is not infinitely far from one of 0.001."""


@dataclass(frozen=True)
class Measure:
    """One number of a look.

    Attributes:
        name: in words.
        unit: behind the number, with a leading blank; may be empty.
        value: reads it; None where the site does not know it.
        floor: least difference that is told; of logarithms where ``by_ratio``.
        by_ratio: compare ratios.
    """

    name: str
    unit: str
    value: Callable[[SiteLook], float | None]
    floor: float
    by_ratio: bool


MEASURES = (
    Measure("mean grey value", "", lambda look: look.grey_mean, 0.2, False),
    Measure("spread of grey values", "", lambda look: look.grey_spread, 0.12, False),
    Measure("labelled share", "", lambda look: look.foreground, math.log(4), True),
    Measure("image size", " pixels", lambda look: math.sqrt(look.size[0] * look.size[1]), math.log(3), True),
    Measure("spacing", " mm", lambda look: math.sqrt(look.spacing[0] * look.spacing[1]) or None, math.log(2), True),
)


def standing_out(looks: Mapping[str, SiteLook]) -> dict[str, list[str]]:
    """Return, of every site that stands out, one sentence for each number that does.

    Args:
        looks: of the sites that know theirs; one site alone cannot stand out.
    """
    found: dict[str, list[str]] = {}
    for measure in MEASURES:
        values = {site: value for site, look in looks.items() if (value := measure.value(look)) is not None}
        for site, value in values.items():
            others = [other for name, other in values.items() if name != site]
            if others and _is_far(value, others, measure):
                usual = median(others)
                text = f"its {measure.name} is {_written(value)} where the others have {_written(usual)}{measure.unit}"
                found.setdefault(site, []).append(text)
    return found


def _is_far(value: float, others: list[float], measure: Measure) -> bool:
    scale: Callable[[float], float] = _logarithm if measure.by_ratio else float
    scaled = [scale(other) for other in others]
    centre = median(scaled)
    deviation = median(abs(other - centre) for other in scaled)
    return abs(scale(value) - centre) > max(measure.floor, TIMES * deviation)


def _logarithm(value: float) -> float:
    return math.log(max(value, SMALLEST))


def _written(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
