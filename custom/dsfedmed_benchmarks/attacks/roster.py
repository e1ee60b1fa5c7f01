# SPDX-License-Identifier: Apache-2.0
"""The branches that are attacked and those that the attacker fits, with who is in each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from torch import Tensor

from dsfedmed.generator.fit import MaskedImages
from dsfedmed.options import require
from dsfedmed_benchmarks.attacks.plan import Canaries, balanced_halves, draw_canaries, draw_few
from dsfedmed_benchmarks.attacks.victim import Say, Victim, joined, picked

PLANNED = 8
"""Shadow branches that halves are drawn for: with fewer, more can be added later beside those that are fitted."""


@dataclass(frozen=True)
class Budget:
    """How much is fitted.

    Attributes:
        shadows: shadow branches, from 6 to 8: each image is in half of 8, and so in 2 of 6 at least.
        shadow_steps: gradient steps of each.
        few: the site's images in the overfitted branch.
        few_steps: its gradient steps.
        each: canaries for each number of copies in the honest branch; the overfitted one has those of the first number.
        copies: numbers of copies.
        seed: of every draw.
    """

    shadows: int = 6
    shadow_steps: int = 240
    few: int = 28
    few_steps: int = 1000
    each: int = 4
    copies: tuple[int, ...] = (1, 8)
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that give no attack."""
        steps = min(self.shadow_steps, self.few_steps, self.few, self.each)
        require(steps > 0 and min(self.copies, default=0) > 0, "budget", "a number is not above 0", "Give 1 or more")
        enough = PLANNED // 2 + 2 <= self.shadows <= PLANNED
        require(enough, "shadows", f"{self.shadows} is not in 6 to {PLANNED}", "Give 8")


@dataclass(frozen=True)
class Roster:
    """The branches of one attack.

    Attributes:
        victim: the run and its site.
        budget: how much is fitted.
        work: folder of what was fitted.
        say: told of each fit.
    """

    victim: Victim
    budget: Budget
    work: Path
    say: Say = print

    @cached_property
    def halves(self) -> Tensor:
        """Bool (shadows, own + others): who is in which shadow branch."""
        images = len(self.victim.own.images) + len(self.victim.others.images)
        return balanced_halves(images, PLANNED, self.budget.seed)[: self.budget.shadows]

    @cached_property
    def few(self) -> Tensor:
        """Bool (own,): the site's images in the overfitted branch."""
        return draw_few(len(self.victim.own.images), self.budget.few, self.budget.seed)

    @cached_property
    def pool(self) -> MaskedImages:
        """Everything that a shadow branch is fitted on halves of: the site's own images, then the others."""
        return joined(self.victim.own, self.victim.others)

    def canaries(self, overfitted: bool) -> Canaries:
        """Return what is planted; the overfitted branch has canaries of the first number of copies alone."""
        copies = self.budget.copies[:1] if overfitted else self.budget.copies
        counts = [number for number in copies for _ in range(self.budget.each)]
        return draw_canaries(len(self.victim.others.images), counts, self.budget.seed)

    def shadow(self, number: int) -> ControlNetModel:
        """Return a shadow branch."""
        pairs = picked(self.pool, self.halves[number].nonzero().flatten())
        return self._fitted(f"shadow-{number}", pairs, self.budget.shadow_steps)

    def overfitted(self) -> ControlNetModel:
        """Return the branch of few images and many steps, canaries among them."""
        return self._fitted("overfitted", self.planted(True), self.budget.few_steps)

    def honest(self) -> ControlNetModel:
        """Return a branch of all own images and canaries, fitted for as many steps as the run's."""
        return self._fitted("canaries", self.planted(False), self.victim.preset_steps)

    def planted(self, overfitted: bool) -> MaskedImages:
        """Return own images, or few of them, and the canaries behind them."""
        chosen = self.few if overfitted else torch.ones_like(self.few)
        own = picked(self.victim.own, chosen.nonzero().flatten())
        return joined(own, self.canaries(overfitted).planted(self.victim.others))

    def _fitted(self, name: str, pairs: MaskedImages, steps: int) -> ControlNetModel:
        return self.victim.fitted(name, pairs, steps, self.work, self.say)
