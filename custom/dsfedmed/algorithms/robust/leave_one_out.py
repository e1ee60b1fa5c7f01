# SPDX-License-Identifier: Apache-2.0
"""What the others gain when one site's update is left out of the mean: the measure by which an update is refused.

Source: loss-function based rejection, Fang et al., Local Model Poisoning Attacks to Byzantine-Robust Federated Learning
(USENIX Security 2020), section 5.2; scored by the sites themselves, as in BaFFLe, Andreina et al. (ICDCS 2021).

Deviations: LFR scores with data of the server, which has none here; each site says the Dice of its own validation part.
A site has no say about its own update, and of the others the lower median counts, so that of two or more no single one
can have another refused, nor save it alone where there are three or more.
"""

from __future__ import annotations

from collections.abc import Mapping


def gain_without(site: str, full: Mapping[str, float], without: Mapping[str, float], least: int = 2) -> float | None:
    """Return the lower median, over the other sites, of the Dice gained by leaving a site out; None below ``least``.

    Args:
        site: who is left out.
        full: Dice of the mean of all, 0 to 1, by site.
        without: Dice of the mean without the site, likewise.
        least: others without whom nothing is said; 1 where they are the server's own sets, which do not lie.
    """
    gains = sorted(without[name] - full[name] for name in full.keys() & without.keys() - {site})
    return gains[(len(gains) - 1) // 2] if len(gains) >= least else None


def harm(before: float, gain: float | None, margin: float) -> float:
    """Return what speaks against a site after a trial: gains above a fifth of the margin add up, others take away.

    Source: the cumulative sum of Page, Continuous Inspection Schemes (Biometrika 1954): max(0, S + gain - slack).

    Args:
        before: what spoke against it before, 0 or more.
        gain: of the trial; None says nothing.
        margin: at which the site's update is refused.
    """
    return before if gain is None else max(0.0, before + gain - margin / 5)


def most_harmful(
    harms: Mapping[str, float],
    margin: float,
    full: Mapping[str, float],
    without: Mapping[str, Mapping[str, float]],
    refusals: Mapping[str, int] | None = None,
) -> str | None:
    """Return the site against which most speaks, if that is above ``margin``; of equal ones the first.

    While a bad update is in the mean, leaving out an odd honest one may help the others as much as leaving out the bad
    one, which itself says so. Of several above the margin the one that was refused before is taken first, then the one
    without which those gain most that are above suspicion; and none where two are alike to a third of the margin, since
    either could be the honest one.

    Args:
        harms: what speaks against each site.
        margin: at which an update is refused.
        full: Dice of the mean of all, 0 to 1, by site.
        without: Dice of the mean without a site, likewise, by the site that is left out.
        refusals: earlier refusals by site.
    """
    before = refusals or {}
    above = [site for site, found in sorted(harms.items()) if found > margin]
    jury = {site: dice for site, dice in full.items() if site not in above}

    def speaks(site: str) -> tuple[int, float]:
        gain = gain_without(site, jury, without[site], least=1)
        return before.get(site, 0), harms[site] if gain is None else gain

    ranked = sorted(above, key=speaks, reverse=True)
    if len(ranked) > 1:
        (first, most), (second, next_most) = speaks(ranked[0]), speaks(ranked[1])
        if first == second and most - next_most < margin / 3:
            return None
    return ranked[0] if ranked else None
