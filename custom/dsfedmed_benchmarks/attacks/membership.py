# SPDX-License-Identifier: Apache-2.0
"""Membership inference on a branch and on a synthetic set: which images of a site were they made from.

The attacker has the generator's base, the branch, the image in question and its mask. Scores: minus the loss of the
fit; minus the part of it that the branch adds to the base's; the likelihood ratio with shadow branches (online: half of
them saw the image). Of the set: the correlation with the nearest of its images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from dsfedmed.data.manifest import Manifest
from dsfedmed.data.synthetic import SyntheticSet
from dsfedmed.generator.fit import MaskedImages
from dsfedmed.generator.networks.embedded import build_base, embedded_base
from dsfedmed_benchmarks.attacks.denoising import denoising_errors, log_scores, loss_scores
from dsfedmed_benchmarks.attacks.exposure import distances
from dsfedmed_benchmarks.attacks.likelihood import likelihood_ratios
from dsfedmed_benchmarks.attacks.roster import Roster
from dsfedmed_benchmarks.attacks.scores import (
    Interval,
    Scored,
    area_under_curve,
    bootstrap,
    over_networks,
    pooled_area,
    pooled_true_positives,
    true_positives,
)
from dsfedmed_benchmarks.measurement.table import Benchmark, Cell, environment

COLUMNS = ("attacked", "attack", "members / others", "AUC (95 %)", "TPR at 1 % FPR, % (95 %)")
LOSS, AGAINST_BASE, RATIO, NEAREST = "loss", "loss against the base's", "likelihood ratio", "nearest drawn image"


@dataclass(frozen=True)
class Errors:
    """Denoising errors (own + others, T) of all images of the site under each branch; computed when asked for."""

    roster: Roster

    @cached_property
    def base(self) -> Tensor:
        """Of the run's base under an unfitted branch."""
        return self._of(self.roster.victim.untouched())

    @cached_property
    def run(self) -> Tensor:
        """Of the run's own branch."""
        return self._of(self.roster.victim.run.branch(self.roster.victim.site))

    @cached_property
    def overfitted(self) -> Tensor:
        """Of the overfitted branch."""
        return self._of(self.roster.overfitted())

    @cached_property
    def shadows(self) -> Tensor:
        """Of the shadow branches, (shadows, own + others, T)."""
        return torch.stack([self._of(self.roster.shadow(number)) for number in range(self.roster.budget.shadows)])

    @cached_property
    def nothing(self) -> Tensor:
        """Of a generator with random weights."""
        config = self.roster.victim.run.plan.generator
        return denoising_errors(embedded_base(build_base(config), config), None, self.roster.pool)

    def _of(self, branch: object) -> Tensor:
        base = self.roster.victim.run.generator_base
        return denoising_errors(base, branch, self.roster.pool)  # type: ignore[arg-type]


def run(roster: Roster) -> Benchmark:
    """Attack the run's branch, an overfitted one, the shadow branches in turn, and the set; return the table."""
    victim, errors = roster.victim, Errors(roster)
    weights = victim.run.generator_base.loss_weights
    own = len(victim.own.images)
    is_own = torch.arange(len(roster.pool.images)) < own
    few = torch.cat([roster.few, torch.zeros(len(victim.others.images), dtype=torch.bool)])
    loss: Callable[[Tensor], Tensor] = lambda found: loss_scores(found, weights)  # noqa: E731
    shadow_logs = torch.stack([log_scores(found) for found in errors.shadows])
    rows = [
        _row("generator with random weights", LOSS, [split(loss(errors.nothing), is_own, ~is_own)]),
        _row("base, without a branch", LOSS, [split(loss(errors.base), is_own, ~is_own)]),
    ]
    for name, found, members, others in (
        ("branch of the run", errors.run, is_own, ~is_own),
        ("overfitted branch", errors.overfitted, few, is_own & ~few),
    ):
        ratios = likelihood_ratios(log_scores(found), shadow_logs, roster.halves)
        rows += [
            _row(name, LOSS, [split(loss(found), members, others)]),
            _row(name, AGAINST_BASE, [split(log_scores(found) - log_scores(errors.base), members, others)]),
            _row(name, RATIO, [split(ratios, members, others)]),
        ]
    rows += _in_turn(roster, errors, shadow_logs, loss)
    rows += _set_rows(roster, is_own)
    title = "Membership inference on a branch"
    return Benchmark("attacks-membership", title, COLUMNS, rows, _notes(roster), environment())


def split(scores: Tensor, members: Tensor, others: Tensor) -> Scored:
    """Return the scores (n,) of ``members`` and of ``others``, both bool (n,)."""
    return Scored(scores[members], scores[others])


def nearest_in_set(drawn: Tensor, pool: MaskedImages) -> Tensor:
    """Return the correlation (n,) of each image of ``pool`` with the nearest of a set (d, C, S, S), or its mirror."""
    found = torch.stack([distances(drawn, pool.images), distances(drawn.flip(2), pool.images)])
    return 1 - found.amin(dim=(0, 1))


def _set_rows(roster: Roster, is_own: Tensor) -> list[tuple[Cell, ...]]:
    """Return the rows of the run's set, as it was drawn and without what the audits vetoed, where it is there."""
    store, rows = roster.victim.run.store, []
    kept: dict[str, list[int] | None] = {"set of the run, as drawn": None}
    if store.has("audit"):
        kept["set of the run, after the audit"] = store.get("audit").info["kept"]
    for name, indices in kept.items() if store.has("synthesise") else ():
        manifest = Manifest.from_dict(store.get("synthesise").info)
        drawn = SyntheticSet.open(store.folder.parent / "synthetic", manifest, indices).images().float()
        rows.append(_row(name, NEAREST, [split(nearest_in_set(drawn, roster.pool), is_own, ~is_own)]))
    return rows


def _in_turn(roster: Roster, errors: Errors, logs: Tensor, loss: Callable[[Tensor], Tensor]) -> list[tuple[Cell, ...]]:
    """Return two rows in which each shadow branch is attacked with the others as shadows."""
    plain, ratios = [], []
    for number in range(roster.budget.shadows):
        rest = torch.arange(roster.budget.shadows) != number
        inside = roster.halves[number]
        plain.append(split(loss(errors.shadows[number]), inside, ~inside))
        found = likelihood_ratios(logs[number], logs[rest], roster.halves[rest])
        ratios.append(split(found, inside, ~inside))
    name = f"{roster.budget.shadows} shadow branches in turn"
    return [_row(name, LOSS, plain), _row(name, RATIO, ratios)]


def _row(attacked: str, attack: str, groups: list[Scored]) -> tuple[Cell, ...]:
    """Return a row: intervals over images for one network, over networks for several."""
    if len(groups) == 1:
        area, found = bootstrap(pooled_area, groups), bootstrap(pooled_true_positives, groups)
    else:
        area = over_networks([area_under_curve(each.members, each.others) for each in groups])
        found = over_networks([true_positives(each.members, each.others) for each in groups])
    counts = f"{len(groups[0].members)} / {len(groups[0].others)}" + (" or so" if len(groups) > 1 else "")
    return (attacked, attack, counts, str(area), percent(found))


def percent(found: Interval) -> str:
    """Return a share with its interval in percent, at one decimal, kept in 0 to 100."""
    value, low, high = (100 * min(max(each, 0.0), 1.0) for each in (found.value, found.low, found.high))
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


def _notes(roster: Roster) -> tuple[str, ...]:
    victim, budget = roster.victim, roster.budget
    own, pool = len(victim.own.images), len(roster.pool.images)
    side = victim.run.plan.generator.image_size
    return (
        f"Site {victim.site}, {own} training and {pool - own} validation and test images at {side} px, masks known to "
        "the attacker. AUC 0.5 is chance; the TPR of chance is 1 %.",
        f"Branch of the run: {victim.preset_steps} steps ({victim.passes(victim.preset_steps, own):.0f} passes). "
        f"Overfitted: {budget.few} images and {budget.each} canaries, {budget.few_steps} steps "
        f"({victim.passes(budget.few_steps, budget.few + budget.each):.0f} passes); its others are the site's training "
        "images that it has not seen.",
        f"Likelihood ratio: online, {budget.shadows} shadow branches on random halves, {budget.shadow_steps} steps "
        f"each ({victim.passes(budget.shadow_steps, pool // 2):.0f} passes), one variance for all images. The base saw "
        "the training images too, with all source sites; a generator with random weights is the control for the split.",
        "Intervals: bootstrap over images, for shadow branches in turn Student's over branches.",
    )
