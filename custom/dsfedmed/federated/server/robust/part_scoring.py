# SPDX-License-Identifier: Apache-2.0
"""Whether a site's part of the synthetic set may be learned from: two questions to networks trained on halves of parts.

Do the images follow their masks? A network that has learned one half of a part segments the other half.

Do they harm others? A network of all parts and one without each are validated by the sites, and asked about the half of
every part that is held out. How a part looks is not asked: a network of fluorescence predicts the reverse of the masks
of honest histology. A part whose images look like nobody else's harms nobody by this measure, and stays.

Steps are shared out: without a part there are as many fewer as it has of them, so that the others' images are seen as
often; else an odd honest part would cost the others the steps that it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import nn

from dsfedmed.algorithms.robust.mask_adherence import Following
from dsfedmed.algorithms.robust.witnesses import borne_out, harmful
from dsfedmed.federated.server.robust.part_training import LEAST_PAIRS, HalvedPart
from dsfedmed.settings_sections import RobustSettings

LEAST = 3
"""Parts below which nobody could say which of two is wrong."""
TRIES = 4
"""How many times the steps are taken before a part is said not to follow its masks: hard images take longer."""
Validate = Callable[[nn.Module], Mapping[str, float]]
"""Returns the Dice of a network on the sites' validation images, 0 to 1, of the sites that say it."""


class Training(Protocol):
    """What trains and asks (`part_training.PartTraining`)."""

    parts: dict[str, HalvedPart]

    def own(self, site: str, steps: int) -> Iterator[Following]:
        """Yield how far the held-out half of a part is followed after every ``steps`` on the other."""

    def network(self, sites: Sequence[str], steps: int) -> nn.Module:
        """Return a network of these parts."""

    def held_out(self, network: nn.Module, site: str) -> float:
        """Return its Dice on the held-out half of a part."""


@dataclass
class PartScore:
    """What was found of a site's part.

    Attributes:
        pairs: looked at.
        dice: of a network that learned half of them, on the other half, of objects or background, 0 to 1; None where
            there are too few.
        constant: there, of the best single mask for all images, 0 to 1.
        adherence: share of what that mask leaves that the network gains; None where that cannot be said.
        tries: how many times the steps it took until that was enough, 1 to `TRIES`.
        gains: Dice that each site gains without the part, -1 to 1; empty where it was not tried.
        left_out: why it is not learned from; empty where it is.
    """

    pairs: int
    dice: float | None = None
    constant: float | None = None
    adherence: float | None = None
    tries: int = 1
    gains: dict[str, float] = field(default_factory=dict)
    left_out: str = ""


class PartScoring:
    """Asks both questions.

    Args:
        training: of networks on parts.
        rules: steps and bounds.
        validate: lets the sites validate.
        say: takes a line for people.
    """

    def __init__(
        self, training: Training, rules: RobustSettings, validate: Validate, say: Callable[[str], None]
    ) -> None:
        self._training, self._rules, self._validate, self._say = training, rules, validate, say
        self.found = {site: PartScore(part.pairs) for site, part in training.parts.items()}

    @property
    def kept(self) -> list[str]:
        """The sites whose part may be learned from, sorted."""
        return sorted(site for site, score in self.found.items() if not score.left_out)

    def ask_for_adherence(self) -> None:
        """Leave out every part whose images do not follow their masks."""
        for site, score in sorted(self.found.items()):
            if score.pairs < LEAST_PAIRS:
                self._say(f"{site}: {score.pairs} pairs are too few to see whether images follow their masks")
            elif not self._follows(site, score):
                score.left_out = f"does not follow its masks ({_told(score)})"

    def ask_for_harm(self) -> bool:
        """Leave out the part that harms most, or two that contradict each other; tell whether there was any."""
        kept = self.kept
        if len(kept) < LEAST:
            self._say(
                f"{len(kept)} parts are too few to see whether one harms others; their masks alone were looked at"
            )
            return False
        full, gains = self._dice_of(kept), {}
        for site in kept:
            without = self._dice_of([other for other in kept if other != site])
            reported, held_out = (_differences(full[place], without[place]) for place in (0, 1))
            gains[site] = self.found[site].gains = borne_out(site, reported, held_out)
        worst = harmful(gains, self._rules.part_margin)
        for site, witnesses in worst.items():
            told = ", ".join(f"{witness} {gains[site][witness]:.3f}" for witness in witnesses)
            text = f"costs others validation Dice ({told})"
            if len(worst) > 1:
                text = f"and that of {witnesses[0]} contradict each other ({told}), and nobody else says which is wrong"
            self.found[site].left_out = text
        return bool(worst)

    def _follows(self, site: str, score: PartScore) -> bool:
        asked = self._training.own(site, self._rules.part_steps)
        for tries, found in zip(range(1, TRIES + 1), asked, strict=False):
            score.tries, score.dice, score.constant, score.adherence = tries, found.dice, found.constant, found.share
            if found.share is None or found.share >= self._rules.part_adherence:
                self._say(f"{site}: images follow their masks ({_told(score)})")
                return True
        return False

    def _dice_of(self, sites: list[str]) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """Return the Dice of a network of these parts: on the sites' validation images, and on what is held out."""
        kept = self.kept
        tries = max(self.found[site].tries for site in kept)  # what is hard to learn takes longer together as well
        steps = max(round(tries * self._rules.part_steps * len(sites) / len(kept)), 1)
        network = self._training.network(sites, steps)
        held_out = {site: self._training.held_out(network, site) for site in kept}
        gone = [site for site in kept if site not in sites]
        self._say(f"network without the part of {gone[0]}" if gone else "network of all parts")
        return self._validate(network), held_out


def _told(score: PartScore) -> str:
    return f"Dice {score.dice:.3f}, one mask for all has {score.constant:.3f}"


def _differences(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {site: after[site] - before[site] for site in sorted(before.keys() & after.keys())}
