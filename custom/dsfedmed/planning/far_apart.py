# SPDX-License-Identifier: Apache-2.0
"""How far apart the images of the sites are, and what was measured where they were as far apart.

Two simple signs, over the images that were looked at:

- the sign of the contrast: whether objects are brighter or darker than what is around them;
- the distance of two sites, sqrt(mean_f ((a_f - b_f) / w_f)^2), over the features f of an image: mean and deviation of
  its grey values, their 5th and 95th percentile, the logarithm of its gradient energy, and the contrast. a_f and b_f
  are the sites' means and w_f is the spread of the feature within a site (root mean square over the sites).

The words are those of three real tasks (docs/results/README.md): nuclei, whose contrasts have opposite signs; blood
cells, of one sign and far apart; breast ultrasound, nearer together. Three tasks prove little. The bounds lie between
them and have no other source; none of this is from the paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, pvariance
from typing import Literal

from dsfedmed.planning.look import ImageLook

CLEAR = 0.75
"""Share of a site's images that have a sign, from which the site is said to have it."""
FAR = 4.0
"""Distance from which sites are far apart: between breast ultrasound (2.6) and blood cells (5.0)."""
MANY_LABELS = 100
"""Training images a site, in the mean, from which labels are many: breast ultrasound has 83 to 216, "few" were 30."""
LEAST_EDGES = 1e-6
LEAST_SPREAD = 1e-3
"""Spread, in grey values, below which images of a site are alike to the last level of a byte."""
Likeness = Literal["opposite", "far_apart", "alike", "unknown"]


@dataclass(frozen=True)
class Apartness:
    """How far apart sites are.

    Attributes:
        likeness: "opposite" (contrasts of both signs), "far_apart" (one sign, a distance of ``FAR`` or more), "alike",
            or "unknown" (fewer than two sites).
        distance: of the two sites that are farthest apart, in spreads within a site; 0 with fewer than two sites.
        pair: these two sites.
        signs: of each site: 1 where objects are brighter, -1 where they are darker, 0 where neither is clear.
    """

    likeness: Likeness
    distance: float
    pair: tuple[str, ...]
    signs: dict[str, int]


def how_far_apart(sites: Mapping[str, Sequence[ImageLook]]) -> Apartness:
    """Compare sites by the looks of their images, at least one a site."""
    signs = {name: _sign(looks) for name, looks in sites.items()}
    if len(sites) < 2:
        return Apartness("unknown", 0.0, (), signs)
    columns = {name: _columns(looks) for name, looks in sites.items()}
    spreads = [_spread([found[place] for found in columns.values()]) for place in range(len(_features(None)))]
    distances = {pair: _distance(columns[pair[0]], columns[pair[1]], spreads) for pair in combinations(sites, 2)}
    pair = max(distances, key=lambda names: distances[names])
    opposite = {1, -1} <= set(signs.values())
    likeness: Likeness = "opposite" if opposite else "far_apart" if distances[pair] >= FAR else "alike"
    return Apartness(likeness, distances[pair], pair, signs)


def unlike_all(
    sources: Mapping[str, Sequence[ImageLook]], held_out: Mapping[str, Sequence[ImageLook]]
) -> dict[str, str]:
    """Say of every held-out site that is unlike each source site in what; nothing of the others.

    A site is unlike another where the signs of their contrasts are opposite, or their distance is ``FAR`` or more.
    """
    said = {}
    for name, looks in held_out.items():
        pairs = [how_far_apart({name: looks, source: found}) for source, found in sources.items()]
        if not pairs or not all(pair.likeness in ("opposite", "far_apart") for pair in pairs):
            continue
        nearest = min(pair.distance for pair in pairs)
        sign = "objects of the other contrast, " if all(pair.likeness == "opposite" for pair in pairs) else ""
        said[name] = f"{sign}distance {nearest:.1f} to the nearest"
    return said


def words(found: Apartness, training: Sequence[int]) -> str:
    """Say whether DSFedMed is likely to help, by what was measured.

    Args:
        found: how far apart the sites are.
        training: labelled training images of each source site.
    """
    if found.likeness == "unknown":
        return "Unknown: a federation needs at least two sites."
    if found.likeness == "opposite":
        return (
            "Likely where rounds are few or a hospital may leave: objects are brighter at one site and darker at "
            "another, as with nuclei. There one upload without any round nearly replaced five rounds of FedAvg, and a "
            "hospital that left was served as before. A FedAvg with `light_settings.augmentation: strong` and as many "
            "images was still ahead at the sites that stay: compare the two."
        )
    if found.likeness == "far_apart":
        return (
            "Not shown: the sites are far apart, but objects have the same sign of contrast, as with blood cells. "
            "There DSFedMed was level with FedAvg at equal steps where sites train, and three points behind at the "
            "site that was held out. Compare the two on your validation."
        )
    if fmean(training) >= MANY_LABELS:
        return (
            "Unlikely, use FedAvg: the sites are alike and have many labels, as with breast ultrasound. There FedAvg "
            "with as many gradient steps was three points ahead, at seen and unseen sites. `dsfedmed run fedbn` trains "
            "FedAvg beside FedBN, without a generator."
        )
    return (
        "Not shown: the sites are alike and labels are few. With thirty training images a site (breast ultrasound) "
        "DSFedMed and FedAvg at equal steps were level."
    )


def _sign(looks: Sequence[ImageLook]) -> int:
    values = [look.contrast for look in looks if look.contrast is not None]
    if not values:
        return 0
    bright = fmean(value > 0 for value in values)
    return 1 if bright >= CLEAR else -1 if bright <= 1 - CLEAR else 0


def _features(look: ImageLook | None) -> tuple[float | None, ...]:
    """Return an image's features; without an image, as many Nones."""
    if look is None:
        return (None,) * 6
    edges = math.log(look.edges + LEAST_EDGES)
    return look.mean, look.deviation, look.low, look.high, edges, look.contrast


def _columns(looks: Sequence[ImageLook]) -> list[list[float]]:
    """Return the values of each feature over the images that have it."""
    rows = zip(*map(_features, looks), strict=True)
    return [[value for value in column if value is not None] for column in rows]


def _spread(columns: Sequence[Sequence[float]]) -> float:
    """Return the spread of a feature within a site: root of the mean variance over the sites that have it."""
    known = [pvariance(column) for column in columns if column]
    return max(math.sqrt(fmean(known)), LEAST_SPREAD) if known else LEAST_SPREAD


def _distance(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]], spreads: Sequence[float]) -> float:
    """Return the root mean square difference of two sites over the features that both have, in spreads."""
    both = [(a, b, w) for a, b, w in zip(one, other, spreads, strict=True) if a and b]
    return math.sqrt(fmean(((fmean(a) - fmean(b)) / w) ** 2 for a, b, w in both))
