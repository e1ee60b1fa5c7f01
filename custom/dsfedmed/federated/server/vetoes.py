# SPDX-License-Identifier: Apache-2.0
"""Which synthetic images stay, given what the sites veto: no one site can empty the set, or keep its own copies in it.

A site's veto on images of its own branch always holds: they would copy its own patients, and it is its own part of the
set that grows smaller. Where it vetoes too many of them, the branch repeats its training images, and its whole part
goes. A veto on images of other sites holds as well, unless the site vetoes too many of them: then it is one site's word
against all others', the set stays as it is, and that site does not get it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass


@dataclass(frozen=True)
class Decision:
    """What stays, and why the rest does not.

    Attributes:
        kept: indices of the images that stay, ascending.
        repeating: sites whose whole part is left out, with the share of it that they vetoed.
        declining: sites whose vetoes on others' images are not heeded, with the share of those that they vetoed.
    """

    kept: list[int]
    repeating: dict[str, float]
    declining: dict[str, float]


def decide(origin: Sequence[str], vetoes: Mapping[str, AbstractSet[int]], limit: float) -> Decision:
    """Return what stays of a set.

    Args:
        origin: of every image, the site whose branch made it.
        vetoes: of every site that audited the set, the indices that it vetoed.
        limit: the share of its own images, and of the others', above which a site vetoes too many.
    """
    own = {site: {index for index, made_by in enumerate(origin) if made_by == site} for site in vetoes}
    shares = {site: _share(vetoed & own[site], len(own[site])) for site, vetoed in vetoes.items()}
    others = {site: _share(vetoed - own[site], len(origin) - len(own[site])) for site, vetoed in vetoes.items()}
    repeating = {site: share for site, share in shares.items() if share > limit}
    declining = {site: share for site, share in others.items() if share > limit}

    def kept() -> list[int]:
        gone = set().union(*(own[site] for site in repeating), set())
        for site, vetoed in vetoes.items():
            gone |= vetoed & own[site] if site in declining else vetoed
        return [index for index in range(len(origin)) if index not in gone]

    # With a limit of 1 a site may veto everything, but not so that nothing is left.
    while not kept() and (site := _most_vetoing(others, declining)):
        declining[site] = others[site]
    return Decision(kept(), repeating, declining)


def _share(vetoed: AbstractSet[int], count: int) -> float:
    return len(vetoed) / max(count, 1)


def _most_vetoing(others: Mapping[str, float], declining: Mapping[str, float]) -> str:
    """Return the site that vetoes the largest share of the others' images and is still heeded; empty for none."""
    heeded = {site: share for site, share in others.items() if site not in declining and share > 0}
    return max(sorted(heeded), key=heeded.__getitem__, default="")
