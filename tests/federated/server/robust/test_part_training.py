# SPDX-License-Identifier: Apache-2.0
"""Networks on planted parts: bright squares with their masks, with those of other pictures, and turned round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dsfedmed.data.synthetic import SyntheticSet, write_shards
from dsfedmed.federated.server.plan import FederationPlan
from dsfedmed.federated.server.robust import part_training
from dsfedmed.federated.server.robust.part_scoring import PartScoring
from dsfedmed.federated.server.robust.part_training import HalvedPart, PartTraining, halved_parts
from tests.federated.tiny import tiny_plan, tiny_settings

SMALL = {"light_settings": {"channels": [4, 8], "strides": [2], "residual_units": 0}}
SIDE, PAIRS = 16, 40


def squares(folder: Path, **masks: Any) -> SyntheticSet:
    """Write a set of bright squares at random places; ``masks`` changes a site's."""
    generator = torch.Generator().manual_seed(0)
    sites = sorted(masks)
    count = len(sites) * PAIRS
    images = torch.randint(0, 60, (count, 1, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    labels = torch.zeros(count, 1, SIDE, SIDE, dtype=torch.uint8)
    for number, (x, y) in enumerate(torch.randint(0, 11, (count, 2), generator=generator).tolist()):
        labels[number, :, x : x + 5, y : y + 5] = 1
    images += labels * 150
    for place, site in enumerate(sites):
        own = slice(place * PAIRS, (place + 1) * PAIRS)
        labels[own] = masks[site](labels[own])
    manifest = write_shards(folder, images, labels, [site for site in sites for _ in range(PAIRS)])
    return SyntheticSet.open(folder, manifest)


def plan(**changes: Any) -> FederationPlan:
    return tiny_plan(tiny_settings(image_size=SIDE, **SMALL, refit={"learning_rate": 0.03}, **changes))


def honest(labels: torch.Tensor) -> torch.Tensor:
    return labels


def test_halves_are_drawn_by_the_site_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = squares(tmp_path, a=honest, b=honest)
    first, again, other = (halved_parts(pool, seed) for seed in (0, 0, 1))
    assert [(part.pairs, len(part.images)) for part in first.values()] == [(PAIRS, PAIRS // 2)] * 2
    assert torch.equal(first["a"].images, again["a"].images)
    assert not torch.equal(first["a"].images, other["a"].images)
    both = torch.cat([first["a"].labels, first["a"].held_labels])
    assert torch.equal(both.sum(), pool.labels(list(range(PAIRS))).sum()), "every pair is in one half"
    monkeypatch.setattr(part_training, "MOST_PAIRS", 7)
    assert {part.pairs for part in halved_parts(pool, 0).values()} == {7}


def test_a_small_part_is_as_loud_as_a_large_one() -> None:
    def part(count: int, value: int) -> HalvedPart:
        images = torch.full((count, 1, SIDE, SIDE), value, dtype=torch.uint8)
        return HalvedPart(images, images, images, images)

    training = PartTraining(plan(), {"a": part(20, 1), "b": part(3, 2)})
    pairs = training._pairs(["a", "b"])
    assert [int((pairs.images == value).flatten(1).all(dim=1).sum()) for value in (1, 2)] == [20, 20]


def test_what_is_planted_is_found(tmp_path: Path) -> None:
    """One site has the masks of other pictures; those of another are turned round, which two sites bear out."""
    pool = squares(tmp_path, a=honest, b=honest, mixed=lambda found: found.flip(0), turned=lambda found: 1 - found)
    made = plan(robust={"part_steps": 40})
    training = PartTraining(made, halved_parts(pool, 0))
    scoring = PartScoring(training, made.settings.robust, lambda _: {}, lambda _: None)
    scoring.ask_for_adherence()
    assert {site for site, score in scoring.found.items() if score.left_out} == {"mixed"}, scoring.found
    assert min(scoring.found[site].adherence or 0 for site in ("a", "b", "turned")) > 0.3
    assert scoring.ask_for_harm()
    assert {site for site, score in scoring.found.items() if score.left_out} == {"mixed", "turned"}, scoring.found
    assert min(scoring.found["turned"].gains[site] for site in ("a", "b")) > 0.1


def test_the_same_seed_trains_the_same_network(tmp_path: Path) -> None:
    made = plan()
    training = PartTraining(made, halved_parts(squares(tmp_path, a=honest, b=honest), 0))
    first, again = (training.network(["a", "b"], 3).state_dict() for _ in range(2))
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
