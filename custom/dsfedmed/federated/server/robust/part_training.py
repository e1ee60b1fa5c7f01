# SPDX-License-Identifier: Apache-2.0
"""The light network trained at the server on halves of the parts of a synthetic set, to learn what the parts teach.

Every part counts alike, whatever number of pairs it has: a small one that contradicts a large one is as loud. Steps
are plain ones from the run's start weights, by Adam as in the server's repair of the means (`refit`), without
augmentation, which costs more than the step at 64 pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor, nn

from dsfedmed.algorithms.robust.mask_adherence import Following, following
from dsfedmed.data.arrays import SiteArrays
from dsfedmed.data.labels import to_channels
from dsfedmed.data.synthetic import SyntheticSet
from dsfedmed.evaluation.protocol import ForwardPass, predict_probabilities, quick_dice
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.seeds import derive_seed, generator
from dsfedmed.training.head_start import HeadStart, train_on_synthetic
from dsfedmed.training.pool import unit_images
from dsfedmed.training.step_rules import StepRules
from dsfedmed.training.synthetic_source import SyntheticSource
from dsfedmed.training.task import TrainingTask

STAGE = "score parts"
MOST_PAIRS = 256
"""Pairs of a part that are looked at: memory and time stay within bounds, however large the set is."""
LEAST_PAIRS = 32
"""Pairs below which nobody can say whether images follow their masks."""


@dataclass(frozen=True)
class HalvedPart:
    """A part of the set: one half to learn from, the other to be asked about; uint8, as the set holds it.

    Attributes:
        images: to learn from, (n, C, S, S).
        labels: their label maps, (n, 1, S, S).
        held_images: of the other half, (m, C, S, S); m is n or n + 1.
        held_labels: their label maps, (m, 1, S, S).
    """

    images: Tensor
    labels: Tensor
    held_images: Tensor
    held_labels: Tensor

    @property
    def pairs(self) -> int:
        """Pairs in both halves."""
        return len(self.images) + len(self.held_images)


def halved_parts(pool: SyntheticSet, seed: int) -> dict[str, HalvedPart]:
    """Return the parts by site, each drawn and halved by a seed of its own; a part of one pair is left aside.

    Args:
        pool: the set.
        seed: of the run.
    """
    found = {}
    for site in sorted(set(pool.origin)):
        places = torch.tensor([place for place, origin in enumerate(pool.origin) if origin == site])
        drawn = places[torch.randperm(len(places), generator=generator(derive_seed(seed, STAGE, site)))][:MOST_PAIRS]
        if len(drawn) > 1:
            images, labels = (pool.images(drawn) * 255).round().to(torch.uint8), pool.labels(drawn)
            half = len(drawn) // 2
            found[site] = HalvedPart(images[:half], labels[:half], images[half:], labels[half:])
    return found


class PartTraining:
    """Trains and asks.

    Args:
        plan: the networks.
        parts: of the set.
        device: where networks are trained.
    """

    def __init__(self, plan: FederationPlan, parts: Mapping[str, HalvedPart], device: str = "cpu") -> None:
        self._plan, self._device, self.parts = plan, device, dict(parts)
        light = plan.settings.light
        facts = plan.facts
        self._task = TrainingTask(
            facts.num_classes, facts.nested, plan.light_bundle.loss(), None, light.batch_size, light.autocast,
            where=STAGE,
        )  # fmt: skip
        self._forward = ForwardPass(facts.num_classes, 2 * light.batch_size, device)

    def network(self, sites: Sequence[str], steps: int) -> nn.Module:
        """Train on these sites' parts: as many pairs of each, those of a smaller part more than once."""
        network, optimizer = self._start()
        self._train(network, optimizer, sites, self._pace(steps, falls=True, ramp=True), "together")
        return network

    def own(self, site: str, steps: int) -> Iterator[Following]:
        """Train on one part for ``steps`` at a time; yield how far the half that is not learned is followed."""
        network, optimizer = self._start()
        part, facts = self.parts[site], self._plan.facts
        known, asked = (to_channels(maps, facts.num_classes, facts.nested) for maps in (part.labels, part.held_labels))
        for number in count():
            pace = self._pace(steps, falls=False, ramp=number == 0)
            self._train(network, optimizer, [site], pace, f"{site}/{number}")
            probabilities = predict_probabilities(
                network, unit_images(part.held_images), facts.num_classes, self._forward.batch_size
            )
            yield following((probabilities > 0.5).float(), known, asked)

    def held_out(self, network: nn.Module, site: str) -> float:
        """Return a network's mean Dice on the half of a part that is not learned, 0 to 1."""
        part = self.parts[site]
        arrays = SiteArrays(unit_images(part.held_images), part.held_labels, ("",) * len(part.held_images))
        return quick_dice(network, arrays, self._forward, self._plan.facts.nested)

    def _pairs(self, sites: Sequence[str]) -> SyntheticSource:
        most = max(len(self.parts[site].images) for site in sites)
        chosen = {site: torch.arange(most) % len(self.parts[site].images) for site in sites}
        images = torch.cat([self.parts[site].images[chosen[site]] for site in sites])
        labels = torch.cat([self.parts[site].labels[chosen[site]] for site in sites])
        return SyntheticSource(images, labels, None, 1.0, 0.0)

    def _start(self) -> tuple[nn.Module, torch.optim.Optimizer]:
        network = self._plan.light_network().to(self._device)
        return network, torch.optim.Adam(network.parameters(), lr=self._plan.settings.refit.learning_rate)

    def _pace(self, steps: int, falls: bool, ramp: bool) -> HeadStart:
        asked = self._plan.settings.refit
        rules = StepRules(ramp_steps=steps // 4 if ramp else 0, clip_norm=asked.clip_norm)
        return HeadStart(steps, asked.learning_rate, falls, rules)

    def _train(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, sites: Sequence[str], pace: HeadStart, name: str
    ) -> None:
        seed = derive_seed(self._plan.settings.seed, STAGE, "train", name)
        train_on_synthetic(network, optimizer, self._pairs(sites), self._task, pace, seed)
