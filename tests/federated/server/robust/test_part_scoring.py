# SPDX-License-Identifier: Apache-2.0
"""Both questions by hand: a training whose Dice the test says, and validation that it says as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import nn

from dsfedmed.algorithms.robust.mask_adherence import Following
from dsfedmed.federated.server.robust.part_scoring import PartScoring
from dsfedmed.federated.server.robust.part_training import HalvedPart
from dsfedmed.settings_sections import RobustSettings

RULES = RobustSettings(part_steps=30, part_adherence=0.1, part_margin=0.1)


class Together(nn.Module):
    """A network that knows of which parts it is."""

    def __init__(self, sites: Sequence[str], steps: int) -> None:
        super().__init__()
        self.sites, self.steps = tuple(sites), steps


class Training:
    """Answers as the test says.

    Args:
        own: Dice of each part's own networks, one after another; beside a single mask with 0.5.
        harmed: by whom a site is harmed, Dice 0.2 beside 0.8.
        pairs: of every part.
    """

    def __init__(self, own: Mapping[str, list[float]], harmed: Mapping[str, str], pairs: int = 40) -> None:
        half = torch.zeros(pairs // 2, 1, 2, 2, dtype=torch.uint8)
        self.parts = {site: HalvedPart(half, half, half, half) for site in own}
        self._own, self.harmed = own, harmed
        self.trained: list[tuple[tuple[str, ...], int]] = []

    def own(self, site: str, steps: int) -> Iterator[Following]:
        for dice in self._own[site]:
            self.trained.append(((site,), steps))
            yield Following(dice, 0.5)

    def network(self, sites: Sequence[str], steps: int) -> Together:
        self.trained.append((tuple(sites), steps))
        return Together(sites, steps)

    def held_out(self, network: Any, site: str) -> float:
        return 0.2 if self.harmed.get(site) in network.sites else 0.8


def scored(
    own: Mapping[str, list[float]], harmed: Mapping[str, str], pairs: int = 40
) -> tuple[PartScoring, Training, list[str]]:
    """Ask both questions; sites report what shows on their parts."""
    said: list[str] = []
    training = Training(own, harmed, pairs)

    def validate(network: Any) -> Mapping[str, float]:
        return {site: training.held_out(network, site) for site in own}

    scoring = PartScoring(training, RULES, validate, said.append)
    scoring.ask_for_adherence()
    scoring.ask_for_harm()
    return scoring, training, said


def left_out(scoring: PartScoring) -> dict[str, str]:
    return {site: score.left_out for site, score in scoring.found.items() if score.left_out}


def test_honest_parts_stay_and_what_was_trained_is_bounded() -> None:
    scoring, training, _ = scored({site: [0.7] for site in "abc"}, {})
    assert left_out(scoring) == {}
    assert scoring.found["a"].adherence == pytest.approx(0.4)
    assert scoring.found["a"].gains == {"a": 0.0, "b": 0.0, "c": 0.0}
    assert [steps for _, steps in training.trained] == [30, 30, 30, 30, 20, 20, 20], "2 K times the steps"


def test_a_part_that_does_not_follow_its_masks_is_left_out_after_four_tries() -> None:
    scoring, training, said = scored({"a": [0.7], "b": [0.5, 0.4, 0.5, 0.54, 0.9], "c": [0.7], "d": [0.7]}, {})
    assert left_out(scoring) == {"b": "does not follow its masks (Dice 0.540, one mask for all has 0.500)"}
    assert training.trained.count((("b",), 30)) == 4
    assert scoring.found["b"].gains == {}, "nobody is asked about it any more"
    assert scoring.found["a"].gains.keys() == {"a", "c", "d"}
    assert "a: images follow their masks (Dice 0.700, one mask for all has 0.500)" in said


def test_what_is_hard_to_learn_gets_more_steps_alone_and_together() -> None:
    scoring, training, _ = scored({"a": [0.7], "b": [0.5, 0.5, 0.6], "c": [0.7]}, {})
    assert left_out(scoring) == {}
    assert training.trained[-4:] == [(("a", "b", "c"), 90), (("b", "c"), 60), (("a", "c"), 60), (("a", "b"), 60)]


def test_a_part_that_harms_is_left_out_where_its_own_site_agrees() -> None:
    """The network with b's part is bad at a, and at b itself; b's own validation says so too."""
    scoring, _, _ = scored({site: [0.7] for site in "abc"}, {"a": "b", "b": "b"})
    assert left_out(scoring) == {"b": "costs others validation Dice (a 0.600)"}


def test_two_parts_that_contradict_each_other_are_both_left_out() -> None:
    scoring, _, _ = scored({site: [0.7] for site in "abc"}, {"a": "b", "b": "a"})
    told = left_out(scoring)
    assert told["a"] == "and that of b contradict each other (b 0.600), and nobody else says which is wrong"
    assert told.keys() == {"a", "b"}


def test_a_lying_validation_alone_has_nobody_left_out() -> None:
    def lie(network: Any) -> Mapping[str, float]:
        return {"c": float(len(network.sites) < 3)}

    scoring = PartScoring(Training({site: [0.7] for site in "abc"}, {}), RULES, lie, lambda _: None)
    assert scoring.ask_for_harm() is False
    assert left_out(scoring) == {}


def test_of_two_parts_nobody_can_say_which_harms() -> None:
    scoring, training, said = scored({"a": [0.7], "b": [0.7]}, {"a": "b"})
    assert left_out(scoring) == {}
    assert len(training.trained) == 2
    assert said[-1] == "2 parts are too few to see whether one harms others; their masks alone were looked at"


def test_of_few_pairs_nobody_can_say_whether_they_follow_their_masks() -> None:
    scoring, _, said = scored({site: [0.0] for site in "abc"}, {}, pairs=30)
    assert left_out(scoring) == {}
    assert scoring.found["a"].dice is None
    assert said[0] == "a: 30 pairs are too few to see whether images follow their masks"
