# SPDX-License-Identifier: Apache-2.0
"""Which parts of a set harm other sites, by what each site gains where a part is left out.

Source: leave-one-out rejection as in `leave_one_out` (Fang et al., USENIX Security 2020, section 5.2).

Deviation: a wrong part harms those whose images look like its own and nobody else, where a wrong update spoils the mean
for all. The lower median of the others would not see it, so that one witness is enough; and a witness has to bear it
out with its own part. Two parts that contradict each other are as bad for each other, whichever is wrong: with one
witness, and no word of the accused site's own validation against its part, neither is learned from. A lie about an
honest part so costs the liar its own, which has to be wrong for that.
"""

from __future__ import annotations

from collections.abc import Mapping

Gains = Mapping[str, Mapping[str, float]]
"""By the site whose part is left out and the site that is asked: Dice gained by that, -1 to 1."""


def borne_out(part: str, reported: Mapping[str, float], held_out: Mapping[str, float]) -> dict[str, float]:
    """Return each site's gain without a part: the lower of what it reports and what shows on pairs of its own part.

    Args:
        part: the site whose part is left out. Of itself it is believed what it reports: nobody lies to lose its part.
        reported: gains on the sites' validation images; a site that reports none is taken by its part alone.
        held_out: gains on pairs of the sites' parts that no network learned; a site without a part has no say.
    """
    gains = {site: min(gain, reported.get(site, gain)) for site, gain in held_out.items() if site != part}
    return gains | ({part: reported[part]} if part in reported else {})


def harmful(gains: Gains, margin: float) -> dict[str, tuple[str, ...]]:
    """Return the part that harms most, with the sites that say so; two that contradict each other; or none.

    The part with most witnesses is taken, of equal ones that with the largest gains together.

    Args:
        gains: of every part that is tried, what each site gains without it, as `borne_out` says.
        margin: above which a gain counts.
    """
    told = {
        part: {site: gain for site, gain in sorted(found.items()) if site != part and gain > margin}
        for part, found in sorted(gains.items())
    }
    worst = max(told, key=lambda part: (len(told[part]), sum(told[part].values())), default=None)
    if worst is None or not told[worst]:
        return {}
    witnesses = tuple(told[worst])
    if len(witnesses) > 1 or gains[worst].get(worst, 0.0) > margin:
        return {worst: witnesses}
    return {worst: witnesses, witnesses[0]: (worst,)}
