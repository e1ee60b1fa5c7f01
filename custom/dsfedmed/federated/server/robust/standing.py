# SPDX-License-Identifier: Apache-2.0
"""How a site stands in a training: what it has sent before, how often its updates were refused, whether it is asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dsfedmed.algorithms.robust.gate import SKETCH, complaint, growth_beside_others, replayed, sketch
from dsfedmed.errors import DSFedMedError
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.workflow import FederatedWorkflow
from dsfedmed.seeds import derive_seed

if TYPE_CHECKING:
    from dsfedmed.federated.server.averaging import Collected


@dataclass
class Standing:
    """What a training remembers of its sites.

    Attributes:
        strikes: refusals by site; one is taken back where a trial finds nothing.
        harm: what speaks against each site since trials began, as Dice (see `leave_one_out.harm`).
        norms: lengths of the last updates that counted.
        next_trial: the round in which all sites are tried next.
        last_trial: the last round in which all sites were tried.
        sketches: of every update so far, by "site/round".
    """

    strikes: dict[str, int] = field(default_factory=dict)
    harm: dict[str, float] = field(default_factory=dict)
    norms: dict[str, float] = field(default_factory=dict)
    next_trial: int = 2
    last_trial: int = 0
    sketches: Weights = field(default_factory=dict)

    def strike(self, site: str) -> None:
        """Count a refusal."""
        self.strikes[site] = self.strikes.get(site, 0) + 1

    def acquit(self, site: str) -> None:
        """Take a refusal back."""
        self.strikes[site] = max(self.strikes.get(site, 0) - 1, 0)

    def watched(self, sites: Iterable[str]) -> list[str]:
        """Return those of these sites that something speaks against: they are tried in every round."""
        return [site for site in sites if self.strikes.get(site, 0) or self.harm.get(site, 0.0)]

    def asked(self, run: FederatedWorkflow, sites: Iterable[str]) -> list[str]:
        """Return those of these sites that still take part.

        Raises:
            DSFedMedError: fewer than ``min_sites`` would be left.
        """
        known, most = list(sites), run.settings.robust.strikes
        left = [site for site in known if self.strikes.get(site, 0) < most]
        if len(left) < min(run.settings.min_sites, len(known)):
            gone = ", ".join(site for site in known if site not in left)
            reason = f"its updates were refused {most} times, and without it fewer than min_sites are left"
            raise DSFedMedError(gone, reason, "Look at this site's images and masks, or run without it")
        return left

    def before(self, site: str) -> dict[int, Tensor]:
        """Return the sketches of a site's updates by round."""
        found = ((name.rpartition("/"), tensor) for name, tensor in self.sketches.items())
        return {int(number): tensor for (known, _, number), tensor in found if known == site}


def refuse_by_form(run: FederatedWorkflow, found: Collected, standing: Standing, number: int | None) -> list[str]:
    """Refuse what is far too long, empty, suddenly grown or an earlier round's; return whose update is to be tried.

    Args:
        run: the workflow; events go to its record.
        found: the round; ``refused`` grows.
        standing: of the training; strikes, sketches and lengths grow.
        number: of the round; None where it is not remembered.
    """
    rules = run.settings.robust
    if not rules.gate_norm:
        return []
    seed = derive_seed(run.settings.seed, "sketch")
    remembered = number is not None and found.held.count >= SKETCH  # of a few numbers any two are alike
    norms: dict[str, float] = {}
    for site in found.held.sites:
        flat = found.held.flat(site)
        norms[site] = float(torch.linalg.vector_norm(flat, dtype=torch.float64))
        if remembered and number is not None:
            now = sketch(flat, seed)
            again = replayed(now, standing.before(site), rules.gate_replay) if norms[site] else None
            if again is not None:
                refuse(run, found, standing, site, f"is that of round {again} again", number)
            standing.sketches[f"{site}/{number}"] = now
    start = float(torch.stack([tensor.double().norm() for tensor in found.weights.values()]).norm())
    for site, norm in norms.items():
        others = [other for name, other in norms.items() if name != site]
        text = complaint(norm, others, start, rules.gate_norm)
        if text and site not in found.refused:
            refuse(run, found, standing, site, text, number)
    grown = growth_beside_others({site: norms[site] for site in found.kept}, standing.norms)
    for site, times in grown.items():
        if times > rules.gate_growth:
            refuse(run, found, standing, site, f"has grown {times:.3g} times as much as the others'", number)
    standing.norms |= {site: norms[site] for site in found.kept}
    return [site for site, times in grown.items() if rules.gate_growth / 2 < times <= rules.gate_growth]


def refuse(
    run: FederatedWorkflow, found: Collected, standing: Standing, site: str, text: str, number: int | None
) -> None:
    """Leave a site's update out of the round, and say so."""
    found.refused[site] = f"its update {text}"
    standing.strike(site)
    left = run.settings.robust.strikes - standing.strikes[site]
    after = "" if number is None else f"; after {left} more it is no longer asked" if left > 0 else "; it is out"
    run.record.event("refused", f"its update {text}{after}", run.ledger.stage, number, site)
    run.progress.say(f"{site}: its update {text} and does not count{after}")
