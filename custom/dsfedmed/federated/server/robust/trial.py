# SPDX-License-Identifier: Apache-2.0
"""A trial: the sites validate the mean with and without each update; one that harms the others does not count.

A little harm in every trial adds up to as much as a lot in one: the cumulative sum of what the others gain without a
site counts, less a fifth of the margin each time, which is more than honest sites were seen to cost for long.

The margin is wide because a round that brings an odd honest hospital forward may cost the others for that round: with
nuclei's `fluo360` held out, the round in which the stained tissue rises from 0.22 to 0.55 costs both others 0.10, and
with 0.05 it was refused. What harms less than the margin in every round is therefore not found.

What an update looks like does not tell an odd honest hospital from one that trains on wrong masks
(`dsfedmed.algorithms.robust.gate`); what it does to the others' validation does. Validating costs time, so trials are
held after 2, 8, 32 ... rounds, where the validation fell, of a site whose update has grown by much, and in every round
of one that something speaks against.
Nothing changes where no update is refused.

A trial shows the other sites a mean without one of them, and with the mean of all they can work out its update; where
that must not be, `robust.trials` switches it off.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from dsfedmed.algorithms.robust.leave_one_out import gain_without, harm, most_harmful
from dsfedmed.exchange.tensors import Weights
from dsfedmed.federated.server.robust.standing import Standing, refuse
from dsfedmed.federated.server.workflow import FederatedWorkflow

if TYPE_CHECKING:
    from dsfedmed.federated.server.averaging import Collected

LATER = 4
"""By how much later, in rounds done, the next trial of all sites is held where the last found nothing."""
QUIET = 4
"""Rounds between two trials for a fall: one lucky round would else have every later one tried."""
LEAST = 3
"""Sites below which nobody could be outvoted."""
Validate = Callable[[Weights, list[str]], Mapping[str, float]]
"""Returns the validation Dice of weights at these sites, 0 to 1, by site (or validation set)."""


def refuse_by_trial(
    run: FederatedWorkflow,
    found: Collected,
    standing: Standing,
    number: int,
    fall: float,
    doubtful: Collection[str],
    validate: Validate,
) -> None:
    """Refuse the updates without which the other sites' validation is better by more than the margin.

    Args:
        run: the workflow; events go to its record.
        found: the round; ``refused`` grows by at most ``robust.bad_sites``.
        standing: of the training.
        number: of the round.
        fall: by how much the weights that the sites started from lie below the best so far, Dice from 0 to 1.
        doubtful: sites whose update is to be tried in any case.
        validate: lets the sites validate.
    """
    rules = run.settings.robust
    fell = fall > rules.trial_margin and number >= standing.last_trial + QUIET
    everyone = fell or number >= standing.next_trial
    watched = {*standing.watched(found.kept), *doubtful}
    suspects = [site for site in found.kept if everyone or site in watched]
    if not rules.trials or not suspects or len(found.kept) < LEAST:
        return
    harmless, before = set(suspects), dict(standing.harm)
    for _ in range(rules.bad_sites):
        if len(found.kept) < LEAST:
            break
        full = validate(found.average(run), found.kept)
        least = 2 if full.keys() & set(found.kept) else 1
        tried = {
            site: validate(found.average(run, without=site), [other for other in found.kept if other != site])
            for site in suspects
            if site in found.kept
        }
        gains = {site: gain_without(site, full, dice, least) for site, dice in tried.items()}
        harms = {site: harm(before.get(site, 0.0), gain, rules.trial_margin) for site, gain in gains.items()}
        worst = most_harmful(harms, rules.trial_margin, full, tried, standing.strikes)
        # While a bad update is in the mean, what the others would gain without an honest one says little.
        known = harms if worst is None else {worst: harms[worst]}
        standing.harm |= {site: min(found, rules.trial_margin) for site, found in known.items()}
        if worst is None:
            break
        harmless.discard(worst)
        text = f"costs the others {gains[worst]:.3f} of validation Dice ({harms[worst]:.3f} over the trials so far)"
        refuse(run, found, standing, worst, text, number)
    for site in harmless:
        if not standing.harm.get(site):
            standing.acquit(site)
    if everyone:
        standing.last_trial = number
        standing.next_trial = LATER * number if len(harmless) == len(suspects) else number + 1
