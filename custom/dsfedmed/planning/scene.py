# SPDX-License-Identifier: Apache-2.0
"""What a planned run consists of: its sites, and how many gradient steps of which kind it takes by its settings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from dsfedmed.algorithms.schedules import faded_steps
from dsfedmed.settings import Settings

FIRST_TRIAL, LATER = 2, 4
"""Rounds after which the first trial of all updates is held, and by how much later the next (`robust.trials`)."""
LEAST_SITES = 3
"""Sites below which neither updates nor parts of the set are tried against each other."""


@dataclass(frozen=True)
class SiteSize:
    """A site's images by part, and whether it trains; it does not where it is held out, or SAM-Fed's label site."""

    name: str
    training: int
    validation: int
    test: int
    takes_part: bool = True


@dataclass(frozen=True)
class Scene:
    """A planned run.

    Attributes:
        settings: of the run.
        sites: all of them.
        stages: names of its stages, in order, as its workflow has them.
        channels: of the images.
        num_classes: K.
        method: a key of `dsfedmed.methods.METHODS`.
        public: images of the training and of the validation part of the public set (SAM-Fed); else none.
    """

    settings: Settings
    sites: tuple[SiteSize, ...]
    stages: tuple[str, ...]
    channels: int = 1
    num_classes: int = 1
    method: str = "dsfedmed"
    public: tuple[int, int] = (0, 0)

    @cached_property
    def sources(self) -> tuple[SiteSize, ...]:
        """The sites that take part."""
        return tuple(site for site in self.sites if site.takes_part)

    @property
    def generates(self) -> bool:
        """Whether the method has a generator and a synthetic set."""
        return "synthesise" in self.stages

    @property
    def own_models(self) -> int:
        """Networks of the method itself that a site scores: FedBN's and pFedSAM's own one, and the shared one."""
        return 1 if self.generates or self.method == "samfed" else 2

    @property
    def pool(self) -> int:
        """Pairs of the synthetic set before the audit."""
        return len(self.sources) * self.settings.synthetic.per_site

    @property
    def selected(self) -> int:
        """Pairs of it that a distillation learns from."""
        asked = self.settings.distillation
        return self.pool if asked.rule == "batch_quantile" else max(round(asked.rate * self.pool), 1)

    def passes(self, site: SiteSize, epochs: int | None = None) -> int:
        """Return the gradient steps of a site's passes over its own images; one round's where none are said."""
        light = self.settings.light
        return (light.epochs_per_round if epochs is None else epochs) * -(-site.training // light.batch_size)

    @property
    def steps_a_round(self) -> int:
        """Gradient steps of all sites together in a round of FedAvg."""
        return sum(map(self.passes, self.sources))

    @property
    def distillations(self) -> list[int]:
        """The numbers of rounds that are done when the server distils."""
        schedule, rounds = self.settings.schedule, self.settings.rounds
        if not self.generates:
            return []
        if schedule.order == "paper":
            return [rounds] * schedule.epochs
        return [done for done in range(rounds) if schedule.distils_after(done)]

    @property
    def epochs_a_distillation(self) -> int:
        """Epochs over the selected pairs each time."""
        schedule = self.settings.schedule
        return 1 if schedule.order == "paper" else schedule.epochs

    @property
    def alternating_rounds(self) -> int:
        """Rounds in which every real step of a site is followed by one on the synthetic set."""
        due = self.distillations
        return self.settings.rounds - due[0] if due and self.settings.schedule.distil_at != "server" else 0

    @property
    def refit_steps(self) -> int:
        """Gradient steps of the server's repair of the means, over all rounds."""
        asked, rounds = self.settings.refit, self.settings.rounds
        if not self.generates or not asked.steps:
            return 0
        done = range(1, rounds + 1)
        return sum(faded_steps(asked.fade, asked.steps, number, rounds, 0, asked.patience) for number in done)

    @property
    def head_start_steps(self) -> int:
        """Gradient steps of the server before the first round."""
        return self.settings.schedule.head_start_steps if "head start" in self.stages else 0

    @property
    def own_steps(self) -> int:
        """Gradient steps of the method's light network in all, wherever they are taken."""
        settings = self.settings
        at_server = 0
        if settings.schedule.distil_at != "sites":
            batches = -(-self.selected // settings.server_distillation.batch_size)
            at_server = len(self.distillations) * self.epochs_a_distillation * batches
        at_sites = self.steps_a_round * (settings.rounds + self.alternating_rounds)
        return at_sites + self.head_start_steps + self.refit_steps + at_server

    @property
    def rounds_at_equal_steps(self) -> int:
        """Rounds in which FedAvg takes as many gradient steps, at least 1."""
        return max(-(-self.own_steps // self.steps_a_round), 1)

    @property
    def compared_rounds(self) -> int:
        """Rounds of what is compared: the run's, or in one shot as many as make equal steps."""
        return self.settings.rounds or self.rounds_at_equal_steps

    @property
    def further_rounds(self) -> int:
        """Rounds of "compare equal steps": those that FedAvg goes on, or all, where the rate falls over the rounds."""
        wanted, had = max(self.rounds_at_equal_steps, self.compared_rounds), self.compared_rounds
        anew = wanted > had and self.settings.light.rate_schedule != "constant"
        return wanted if anew else wanted - had

    def trials(self, rounds: int) -> int:
        """Return how often all updates are tried in so many rounds, where nothing is refused."""
        if not self.settings.robust.trials or len(self.sources) < LEAST_SITES:
            return 0
        number, held = FIRST_TRIAL, 0
        while number <= rounds:
            number, held = LATER * number, held + 1
        return held

    @property
    def tried_networks(self) -> int:
        """Networks that the sites validate while the parts of the set are scored, where none is bad."""
        count = len(self.sources)
        return count + 1 if "score parts" in self.stages and count >= LEAST_SITES else 0
